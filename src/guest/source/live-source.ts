/**
 * A live guest of QEMU. While nothing watches it, it runs: each question pauses it for as long as the answer takes. While something
 * watches it, questions are answered by the session that does. One thing is done after the other, since the gdbstub has one client.
 */
import { openQemuSnapshot } from '../../drivers/qemu/index.ts';
import { type Capabilities, capabilitiesOf } from '../capabilities.ts';
import { BreakpointSet } from '../hooks/breakpoint.ts';
import { ProcessHooks } from '../hooks/process-hooks.ts';
import { LiveSession } from '../session/live-session.ts';
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
    this.capabilities = capabilitiesOf({
      exact: why,
      sampled: undefined,
      snapshot: undefined,
      write: why,
      breakpoints: why,
    });
  }

  paused<T>(work: (moment: Moment) => Promise<T>): Promise<T> {
    const ask = () => {
      const live = this.#watching?.live;
      return live === undefined ? this.#visit(work) : this.#using(() => live.paused(() => work(live.moment)));
    };
    // Without a gdbstub nothing can stop the guest: a sample of it is looked at.
    if (this.#options.gdb === undefined) return this.watching(({ live }) => live.paused(() => work(live.moment)));
    // A session that is being opened or closed has the gdbstub's one place until then.
    return this.#watching === undefined ? this.#inTurn(ask) : ask();
  }

  watching<T>(work: (watching: Watching) => Promise<T>): Promise<T> {
    return this.#using(async () => work(await this.#open()));
  }

  releaseIfIdle(): void {
    setImmediate(() => {
      const close = async () => {
        if (this.#watching?.live.isIdle === true && this.#users === 0) await this.#closeLive();
      };
      void this.#inTurn(close).catch(() => {});
    });
  }

  async close(leaveStopped = false): Promise<void> {
    if (leaveStopped) await this.#open();
    await this.#inTurn(() => this.#closeLive(leaveStopped));
  }

  /** The session stays open for the work, and is released afterwards where nothing else uses it. */
  async #using<T>(work: () => Promise<T>): Promise<T> {
    this.#users++;
    try {
      return await work();
    } finally {
      this.#users--;
      this.releaseIfIdle();
    }
  }

  #open(): Promise<Watching> {
    return this.#inTurn(async () => {
      if (this.#watching !== undefined) return this.#watching;
      const { qmp, gdb } = this.#options;
      const live = await LiveSession.open({ qmp, gdb, signal: this.#signal });
      const release = () => this.releaseIfIdle();
      const watching = {
        live,
        breakpoints: new BreakpointSet(live, release),
        processHooks: new ProcessHooks(live, release),
      };
      live.onEnd(() => {
        if (this.#watching === watching) this.#watching = undefined;
      });
      this.#watching = watching;
      return watching;
    });
  }

  async #closeLive(leaveStopped = false): Promise<void> {
    const live = this.#watching?.live;
    this.#watching = undefined;
    await live?.close(leaveStopped);
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
      return await work(await Moment.of(snapshot, this.#signal));
    } finally {
      await snapshot.close();
    }
  }
}
