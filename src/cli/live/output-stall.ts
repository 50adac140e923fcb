/** A reader of the output that does not read, such as `less`: the guest waits, or it runs on without its events or without a watch. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { Sink, SourceInfo, Summary, WatchChange } from '../../sinks/sink.ts';
import type { StallChoice } from '../options/events.ts';

export interface StallOptions {
  readonly choice: StallChoice;
  readonly say: (line: string) => unknown;
  /** Ends the watch. */
  readonly detach: () => void;
  /** How long the reader may take before it counts as stalled: 1,000 ms by default. */
  readonly limitMs?: number;
}

const LIMIT_MS = 1000;

const LINES: Readonly<Record<StallChoice, string>> = {
  wait: 'the guest waits until the output is read. --on-stall drop or --on-stall detach lets the guest run on.',
  drop: 'the guest runs on, and its events are dropped until the output is read.',
  detach: 'the watch ends, and the guest runs on.',
};

/** Writes to another sink, and decides what happens when that one does not take an event in time. */
export class StallingSink implements Sink {
  /** Present where the other sink has it. */
  readonly watch?: (change: WatchChange) => Promise<void>;
  readonly #sink: Sink;
  readonly #options: StallOptions;
  /** The write that the reader holds up. */
  #held: Promise<void> | undefined;
  #failure: unknown;
  #dropped = 0;
  #droppedNow = 0;
  #hasEnded = false;

  constructor(sink: Sink, options: StallOptions) {
    this.#sink = sink;
    this.#options = options;
    if (sink.watch === undefined) return;
    this.watch = async (change) => {
      // A reader that has missed events does not know what is backed anyway.
      const written = this.#held === undefined ? sink.watch?.(change) : undefined;
      if (written !== undefined) await this.#patiently(written);
    };
  }

  get mayLag(): boolean {
    return this.#sink.mayLag === true;
  }

  begin(source: SourceInfo): void | Promise<void> {
    return this.#sink.begin?.(source);
  }

  async write(event: MonitorEvent): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure;
    if (this.#held !== undefined) return this.#drop();
    const written = this.#sink.write(event);
    if (written !== undefined) await this.#patiently(written);
  }

  async end(summary: Summary): Promise<void> {
    this.#hasEnded = true;
    const all = this.#dropped === 0 ? summary : { ...summary, dropped: this.#dropped };
    const finish = async () => {
      await this.#held;
      await this.#sink.end(all);
    };
    if (this.#held === undefined) return finish();
    // The guest is released without the reader. This process ends when the reader has read the rest, or has closed the output.
    void finish().catch(() => {});
  }

  /** Waits for a write, and says so where it takes long; as long as it takes, or until the guest is to run on. */
  async #patiently(written: Promise<void>): Promise<void> {
    const { choice, say, detach, limitMs = LIMIT_MS } = this.#options;
    if (!(await takesLonger(written, limitMs))) return;
    await say(`Nobody has read the output for ${limitMs / 1000} s: ${LINES[choice]}`);
    if (choice === 'wait') return written;
    this.#held = written.then(
      () => this.#goOn(),
      (error: unknown) => {
        this.#failure = error;
      },
    );
    if (choice === 'detach') detach();
  }

  #drop(): void {
    this.#dropped++;
    this.#droppedNow++;
  }

  /** The reader reads again. */
  async #goOn(): Promise<void> {
    this.#held = undefined;
    const count = this.#droppedNow;
    if (count === 0 || this.#hasEnded) return;
    this.#droppedNow = 0;
    // Before the next event.
    const told = this.#sink.dropped?.(count);
    await this.#options.say(`The output is read again. ${count} ${count === 1 ? 'event was' : 'events were'} dropped.`);
    await told;
  }
}

async function takesLonger(work: Promise<void>, ms: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<boolean>((resolve) => {
    timer = setTimeout(resolve, ms, true);
  });
  try {
    return await Promise.race([work.then(() => false), late]);
  } finally {
    clearTimeout(timer);
  }
}
