/** Lets the guest run with nothing watched, between two turns of the driver, for a program that is about to be suspended. */
import { setTimeout } from 'node:timers/promises';
import type { QemuParts } from '../parts.ts';
import type { EntryWatchpoints } from '../watchpoints/entry-watchpoints.ts';

/** How long a consumer of events may take until it asks for the next batch. */
const CONSUMER_MS = 300;

export type UnwatchedWork = () => void | Promise<void>;

export class UnwatchedRuns {
  readonly #parts: QemuParts;
  readonly #watchpoints: EntryWatchpoints;
  #waiting: { readonly begin: () => Promise<void> } | undefined;
  #isDriverRunning = false;
  #mustLook = false;

  constructor(parts: QemuParts, watchpoints: EntryWatchpoints) {
    this.#parts = parts;
    this.#watchpoints = watchpoints;
  }

  /** Whether the guest has run unwatched since this was asked: all that is monitored is to be compared before it runs on. */
  takeMustLook(): boolean {
    const mustLook = this.#mustLook;
    this.#mustLook = false;
    return mustLook;
  }

  /** Lets the guest run for `work` at the next turn of the driver, or soon where its consumer does not come back. */
  async request(work: UnwatchedWork): Promise<void> {
    let hasBegun = false;
    const done = new Promise<void>((resolve, reject) => {
      const begin = () => {
        hasBegun = true;
        return this.#run(work).then(resolve, reject);
      };
      this.#waiting = { begin };
    });
    if (this.#isDriverRunning) this.#parts.control.interrupt();
    await Promise.race([done, setTimeout(CONSUMER_MS, undefined, { ref: false })]);
    // If the consumer does not come back, the guest stays stopped.
    if (!hasBegun) await this.carryOut();
    await done;
  }

  /** Does what was requested, if anything was. */
  async carryOut(): Promise<void> {
    const waiting = this.#waiting;
    this.#waiting = undefined;
    await waiting?.begin();
  }

  /** A run of the driver, which a request ends. Requests are carried out after it. */
  async during<T>(run: () => Promise<T>): Promise<T> {
    this.#isDriverRunning = true;
    try {
      return await run();
    } finally {
      this.#isDriverRunning = false;
      if (this.#waiting !== undefined) await this.carryOut();
    }
  }

  async #run(work: UnwatchedWork): Promise<void> {
    const { gdb, control, guestMemory, end } = this.#parts;
    const breakpoints = gdb.breakpoints;
    await this.#watchpoints.clear();
    await gdb.clearBreakpoints(breakpoints);
    const over = new AbortController();
    const running = control.next(AbortSignal.any([over.signal, end.signal]), { isMoving: true });
    running.catch(() => {});
    try {
      await control.untilRunning();
      await work();
    } finally {
      over.abort();
      await running;
      guestMemory.clear();
      this.#mustLook = true;
      await gdb.setBreakpoints(breakpoints);
    }
  }
}
