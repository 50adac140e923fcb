/** `ptmon top`: looks at all processes of a guest again and again, while it runs. */
import { setTimeout as sleep } from 'node:timers/promises';
import process from 'node:process';
import { Ansis } from 'ansis';
import { PtmonError } from '../../../core/error.ts';
import { attach, type Guest } from '../../../guest/index.ts';
import { coloursFor } from '../../../sinks/console/colours.ts';
import { columnsOf } from '../../../sinks/columns.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import { sampleProcesses } from '../../../web/scene/process-sample.ts';
import type { Streams } from '../../context.ts';
import { printStatus } from '../../output/status-lines.ts';
import { TerminalScreen } from './terminal-screen.ts';
import { press } from './top-controls.ts';
import { rowJson } from './top-json.ts';
import { sorted } from './top-columns.ts';
import { type LookedAt, TopRows } from './top-rows.ts';
import { type OpenedProcess, screenLines, type TopState } from './top-screen.ts';
import type { Sort } from './top-sorts.ts';

export interface TopOptions {
  readonly qmp?: string;
  readonly vm?: string;
  /** Milliseconds. */
  readonly interval: number;
  readonly sort: Sort;
  readonly count?: number;
  readonly json?: boolean;
}

/** Looks may take this part of the time at most. */
const LOOK_SHARE = 2;
/** Inverse, bold and underlined, which are no colours. */
const STYLES = new Ansis(1);

/** @throws PtmonError `bad-argument` without a guest; `source-unavailable` where it has no Linux, or is lost */
export async function runTop(options: TopOptions, streams: Streams, signal: AbortSignal): Promise<void> {
  const { qmp, vm, json, count } = options;
  if (qmp === undefined) throw new PtmonError('bad-argument', 'no guest: give --vm, or --qmp with its QMP socket');
  const over = new AbortController();
  const stop = AbortSignal.any([signal, over.signal]);
  const guest = await attach({ qmp, ...(vm !== undefined && { name: vm }) }, { signal });
  let ended: unknown;
  let hasEnded = false;
  let isGone = false;
  try {
    // Keeps one session open: without it each look would connect anew.
    guest
      .run()
      .then(
        () => (hasEnded = true),
        (error: unknown) => {
          hasEnded = true;
          ended = error;
        },
      )
      .finally(() => over.abort());
    const looks = new Looks(guest);
    const isTerminal =
      isTty(streams.output) &&
      process.stdin.isTTY &&
      process.env['TERM'] !== 'dumb' &&
      json !== true &&
      count === undefined;
    if (isTerminal) await new Interactive(looks, options, streams.output, stop).run();
    else await printLooks(looks, options, streams.output, stop);
  } catch (error) {
    if (!stop.aborted) throw error;
  } finally {
    // Closing ends the session, too.
    isGone = hasEnded;
    await guest.close();
  }
  if (isGone && ended !== undefined && !signal.aborted) throw ended;
  if (isGone && !signal.aborted) await printStatus(streams.messages, 'The guest has ended.');
}

function isTty({ stream }: TextOutput): boolean {
  return 'isTTY' in stream && stream.isTTY === true;
}

/** Looks at a guest, one after the other. */
class Looks {
  readonly guest: Guest;
  readonly #rows = new TopRows();
  #last: number | undefined;

  constructor(guest: Guest) {
    this.guest = guest;
  }

  async next() {
    const found = await this.guest.paused(async (moment) => {
      const sampled = await sampleProcesses(moment);
      return { at: performance.now(), sampled };
    });
    const seconds = this.#last === undefined ? undefined : (found.at - this.#last) / 1000;
    this.#last = found.at;
    const processes = found.sampled.map(
      ({ process: { pid, command, uid, threads, state, startTime }, runs }): LookedAt => ({
        pid,
        command,
        uid,
        threads: threads.length,
        state,
        startTime,
        runs,
      }),
    );
    return this.#rows.look(processes, seconds);
  }

  /** The areas of a process. */
  async open(pid: number, name: string): Promise<OpenedProcess> {
    try {
      const { areas } = await this.guest.paused(async (moment) => (await moment.linux()).map(pid));
      return { pid, name, areas };
    } catch (error) {
      if (!(error instanceof PtmonError)) throw error;
      return { pid, name, areas: [], failure: error.message };
    }
  }
}

/** Tables, or lines of JSON, one after the other: the first when there are rates. */
async function printLooks(looks: Looks, options: TopOptions, output: TextOutput, signal: AbortSignal): Promise<void> {
  const { interval, count = Infinity, json = false, sort } = options;
  await looks.next();
  for (let number = 0; number < count && !signal.aborted; number++) {
    await sleep(interval, undefined, { signal });
    const processes = await looks.next();
    if (json) {
      await output.write(processes.map(rowJson).join(''));
      continue;
    }
    const state: TopState = { ...initial(looks.guest.name, options), processes, sort };
    const size = { columns: columnsOf(output.stream), rows: processes.length + 4 };
    const lines = screenLines(state, size, coloursFor(output.stream)).slice(0, -1);
    await output.write(`${lines.map((line) => line.trimEnd()).join('\n')}\n\n`);
  }
  await output.flush();
}

function initial(guest: string, { interval, sort }: TopOptions): TopState {
  return {
    guest,
    intervalMs: interval,
    processes: [],
    sort,
    selected: undefined,
    opened: undefined,
    scroll: 0,
    showsHelp: false,
    failure: undefined,
  };
}

class Interactive {
  readonly #looks: Looks;
  readonly #interval: number;
  readonly #screen: TerminalScreen;
  readonly #output: TextOutput;
  readonly #quit = new AbortController();
  readonly #signal: AbortSignal;
  #state: TopState;
  /** Ends the wait between two looks. */
  #wake = new AbortController();

  constructor(looks: Looks, options: TopOptions, output: TextOutput, signal: AbortSignal) {
    this.#looks = looks;
    this.#interval = options.interval;
    this.#output = output;
    this.#state = initial(looks.guest.name, options);
    this.#signal = AbortSignal.any([signal, this.#quit.signal]);
    this.#screen = new TerminalScreen(output.stream, {
      onKey: (key) => this.#press(key),
      onRedraw: () => this.#draw(),
    });
  }

  /** Until q, or the signal. */
  async run(): Promise<void> {
    // A fault of the guest shows on the screen that stays.
    this.#update({ processes: await this.#looks.next() });
    this.#screen.enter();
    try {
      for (let tookMs = 0; !this.#signal.aborted; ) {
        this.#draw();
        this.#wake = new AbortController();
        const wait = AbortSignal.any([this.#signal, this.#wake.signal]);
        await sleep(Math.max(this.#interval, tookMs * LOOK_SHARE), undefined, { signal: wait }).catch(() => {});
        if (this.#signal.aborted) break;
        const began = performance.now();
        await this.#look();
        tookMs = performance.now() - began;
      }
    } finally {
      this.#screen.leave();
    }
  }

  async #look(): Promise<void> {
    try {
      const { opened } = this.#state;
      // A process is opened at once, and its rates go on at the next look.
      if (opened !== undefined) this.#update({ opened: await this.#looks.open(opened.pid, opened.name) });
      if (!this.#wake.signal.aborted) this.#update({ processes: await this.#looks.next(), failure: undefined });
    } catch (error) {
      if (this.#signal.aborted) return;
      if (!(error instanceof PtmonError)) throw error;
      this.#update({ failure: error.message });
    }
  }

  #press(key: string): void {
    const { state, request } = press(this.#state, key, this.#screen.size);
    this.#state = state;
    if (request === 'quit') this.#quit.abort();
    if (request === 'suspend') this.#screen.suspend();
    // As the terminal would, if it did not send keys.
    if (request === 'interrupt') process.kill(process.pid, 'SIGINT');
    if (request === 'open') this.#open();
    this.#draw();
  }

  #open(): void {
    const row = this.#state.processes.find(({ pid }) => pid === this.#state.selected);
    if (row === undefined) return;
    this.#update({ opened: { pid: row.pid, name: row.command, areas: [] }, scroll: 0 });
    this.#wake.abort();
  }

  #update(change: Partial<TopState>): void {
    const state = { ...this.#state, ...change };
    // Closed while its areas were read.
    if (change.opened !== undefined && this.#state.opened === undefined && !('scroll' in change)) return;
    const first = sorted(state.processes, state.sort)[0]?.pid;
    const isThere = state.processes.some(({ pid }) => pid === state.selected);
    this.#state = isThere ? state : { ...state, selected: first };
  }

  #draw(): void {
    const colour = coloursFor(this.#output.stream);
    const style = colour.level === 0 ? STYLES : colour;
    this.#screen.draw(screenLines(this.#state, this.#screen.size, colour, style));
  }
}
