/** The events of a live guest as text: when, who, what and why, as a replay shows them; events that are alike share a line. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import { lostText } from '../../sinks/console/console.ts';
import { entryName } from '../../sinks/console/event-row.ts';
import { printable } from '../../sinks/printable.ts';
import type { Sink, Summary } from '../../sinks/sink.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import { type AlikeEvents, EventBursts } from '../output/event-bursts.ts';
import { EventFrame } from '../output/event-frame.ts';
import { TIME_COLUMNS, TIME_NAME, timeText } from '../output/time-text.ts';

/** Events are held back for those that may be alike, but not longer than this. */
const HOLD_MS = 120;

export interface WatchViewOptions {
  readonly output: TextOutput;
  /** Prints each event on a line of its own, at once. */
  readonly each: boolean;
}

export interface WatchView extends Sink {
  /** Called when the guest is about to run: the times count from here. Before that, `end` prints nothing. */
  start(): void;
}

export function watchView({ output, each }: WatchViewOptions): WatchView {
  return new View(output, each);
}

class View implements WatchView {
  readonly mayLag = true;
  readonly #output: TextOutput;
  readonly #each: boolean;
  readonly #frame: EventFrame;
  readonly #bursts = new EventBursts();
  #startMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(output: TextOutput, each: boolean) {
    this.#output = output;
    this.#each = each;
    const lead = { name: TIME_NAME, columns: TIME_COLUMNS };
    this.#frame = new EventFrame({ output, lead, introduction: () => '', tallyName: 'entry' });
  }

  start(): void {
    this.#startMs = performance.now();
  }

  async write(event: MonitorEvent): Promise<void> {
    this.#frame.count(event, event.cause === null ? 'no entry' : entryName(event.cause.level));
    const timeUs = this.#timeUs;
    if (this.#each) return this.#print([{ timeUs, events: [event] }]);
    const complete = this.#bursts.add(event, timeUs);
    this.#timer ??= setTimeout(() => void this.#flush(), HOLD_MS);
    if (complete.length > 0) await this.#print(complete);
  }

  async end(summary: Summary): Promise<void> {
    clearTimeout(this.#timer);
    await this.#print(this.#bursts.end());
    if (this.#startMs !== undefined) {
      await this.#output.write(this.#frame.introduce());
      await this.#output.write(this.#frame.totals(summary, totalLines(summary, this.#timeUs / 1e6)));
    }
    await this.#output.flush();
  }

  get #timeUs(): number {
    return this.#startMs === undefined ? 0 : (performance.now() - this.#startMs) * 1000;
  }

  async #print(groups: readonly AlikeEvents[]): Promise<void> {
    if (groups.length === 0) return;
    const lines = groups.map(({ events, timeUs }) => this.#frame.line(events, timeText(timeUs)));
    await this.#output.write(this.#frame.introduce() + lines.join(''));
  }

  /** What has been held back long enough. The next `write` throws what the output throws here. */
  async #flush(): Promise<void> {
    this.#timer = undefined;
    await this.#print(this.#bursts.end()).catch(() => {});
  }
}

function totalLines(summary: Summary, seconds: number): string[] {
  const { ended, failure, writes } = summary;
  return [
    `${writes} writes, ${lostText(summary)}, ${seconds.toFixed(2)} s`,
    ...(ended === 'failed' && failure !== undefined ? [`failed: ${printable(failure.message)}`] : []),
  ];
}
