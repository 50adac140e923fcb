/**
 * A live guest of QEMU. While nothing watches it, it runs: each question pauses it for as long as the answer takes. While something
 * watches it, questions are answered by the session that does. One thing is done after the other, since the gdbstub has one client.
 */
import { openQemuSnapshot } from '../../drivers/qemu/index.ts';
import { findAddressSpace } from '../../snapshot/index.ts';
import { type Capabilities, capabilitiesOf } from '../capabilities.ts';
import { BreakpointSet } from '../live/breakpoint.ts';
import { LiveSession } from '../live/live-session.ts';
import { Moment } from '../moment.ts';
import type { GuestSource, Watching } from './guest-source.ts';

export interface LiveOptions {
  /** Addresses of QEMU's sockets, as `--qmp` and `--gdb` take them. */
  readonly qmp: string;
  readonly gdb?: string | undefined;
  readonly name?: string | undefined;
}

const NO_GDB = 'QEMU has no gdbstub: start it with -gdb unix:PATH,server=on,wait=off';

export class LiveSource implements GuestSource {
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly #options: LiveOptions;
  readonly #signal: AbortSignal | undefined;
  /** Settles when everything so far is done. */
  #done: Promise<unknown> = Promise.resolve();
  #watching: Watching | undefined;
  /** Calls that set something up, or wait. */
  #users = 0;

  constructor(options: LiveOptions, signal?: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.name = options.name ?? options.qmp;
    const why = options.gdb === undefined ? NO_GDB : undefined;
    this.capabilities = capabilitiesOf({ exact: why, sampled: undefined, snapshot: why, write: why, breakpoints: why });
  }

  paused<T>(work: (moment: Moment) => Promise<T>): Promise<T> {
    const live = this.#watching?.live;
    if (live !== undefined) return live.paused(() => work(live.moment));
    return this.#inTurn(() => this.#visit(work));
  }

  async watching<T>(work: (watching: Watching) => Promise<T>): Promise<T> {
    this.#users++;
    try {
      return await work(await this.#open());
    } finally {
      this.#users--;
      this.releaseIfIdle();
    }
  }

  releaseIfIdle(): void {
    setImmediate(() => {
      const live = this.#watching?.live;
      if (live?.isIdle === true && this.#users === 0) void this.#inTurn(() => this.#closeLive()).catch(() => {});
    });
  }

  close(): Promise<void> {
    return this.#inTurn(() => this.#closeLive());
  }

  #open(): Promise<Watching> {
    return this.#inTurn(async () => {
      if (this.#watching !== undefined) return this.#watching;
      const { qmp, gdb } = this.#options;
      const live = await LiveSession.open({ qmp, gdb, signal: this.#signal });
      const watching = { live, breakpoints: new BreakpointSet(live) };
      live.onEnd(() => {
        if (this.#watching === watching) this.#watching = undefined;
      });
      this.#watching = watching;
      return watching;
    });
  }

  async #closeLive(): Promise<void> {
    const live = this.#watching?.live;
    this.#watching = undefined;
    await live?.close();
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#done.then(work);
    this.#done = result.catch(() => {});
    return result;
  }

  async #visit<T>(work: (moment: Moment) => Promise<T>): Promise<T> {
    const { qmp, gdb } = this.#options;
    const limits = this.#signal === undefined ? {} : { signal: this.#signal };
    const snapshot = await openQemuSnapshot({ qmp, gdb: gdb!, ...limits });
    try {
      const { paging } = await findAddressSpace(snapshot, {}, limits);
      const { memory, remote, registers } = snapshot;
      return await work(new Moment({ paging, memory, remote, registers }, this.#signal));
    } finally {
      await snapshot.close();
    }
  }
}
