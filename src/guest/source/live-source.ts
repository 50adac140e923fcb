/**
 * A live guest of QEMU. While nothing watches it, it runs: each question pauses it for as long as the answer takes. While something
 * watches it, questions are answered by the session that does. One thing is done after the other, since the gdbstub has one client.
 */
import { AsyncLocalStorage } from 'node:async_hooks';
import { PtmonError } from '../../core/error.ts';
import { openQemuSnapshot, runsOnKvm } from '../../drivers/qemu/index.ts';
import { type Capabilities, capabilitiesOf, requireCapability } from '../capabilities.ts';
import { BreakpointSet } from '../hooks/breakpoint.ts';
import { ProcessHooks } from '../hooks/process-hooks.ts';
import { LiveSession } from '../session/live-session.ts';
import { unlessAborted } from '../session/unless-aborted.ts';
import { Moment } from '../moment.ts';
import type { GuestSource, Watching } from './guest-source.ts';

export interface LiveOptions {
  /** Addresses of QEMU's sockets, as `--qmp` and `--gdb` take them. */
  readonly qmp: string;
  readonly gdb?: string | undefined;
  readonly name?: string | undefined;
  /** As `AttachOptions`. */
  readonly proof?: boolean;
}

/** A pause in which questions are of the same moment. */
interface Visit {
  readonly moment: Moment;
  isOver: boolean;
}

const KVM =
  'with KVM there are four watchpoints, and a process needs more, so it is watched by samples; QEMU with -accel tcg watches every change';
const PROOF = 'the option "proof" watches the guest by samples while it runs: attach without it';
const NO_GDB = 'QEMU has no gdbstub: start it with -gdb unix:PATH,server=on,wait=off';

export class LiveSource implements GuestSource {
  readonly name: string;
  readonly capabilities: Capabilities;
  readonly #options: LiveOptions & { readonly isKvm: boolean };
  readonly #signal: AbortSignal | undefined;
  /** Settles when everything so far is done. */
  #done: Promise<unknown> = Promise.resolve();
  #watching: Watching | undefined;
  /** The pause in which a question asks another: that is of the same moment. */
  readonly #visits = new AsyncLocalStorage<Visit>();
  /** Ends the pauses that were asked for before the guest is released. */
  #released = new AbortController();
  /** Calls that set something up, or wait. */
  #users = 0;

  /** @param options `isKvm`: watchpoints are debug registers */
  constructor(options: LiveOptions & { readonly isKvm: boolean }, signal?: AbortSignal) {
    this.#options = options;
    this.#signal = signal;
    this.name = options.name ?? options.qmp;
    const { gdb, proof = false } = options;
    const why = gdb === undefined ? NO_GDB : proof ? PROOF : undefined;
    this.capabilities = capabilitiesOf({
      exact: why ?? (options.isKvm ? KVM : undefined),
      sampled: undefined,
      snapshot: undefined,
      write: why,
      breakpoints: why,
    });
  }

  /** @throws PtmonError `source-unavailable` where QEMU does not answer; `bad-argument` for a malformed address */
  static async open(options: LiveOptions, signal?: AbortSignal): Promise<LiveSource> {
    return new LiveSource({ ...options, isKvm: await runsOnKvm(options.qmp, signal && { signal }) }, signal);
  }

  async paused<T>(work: (moment: Moment) => Promise<T>): Promise<T> {
    const visit = this.#visits.getStore();
    if (visit?.isOver === false && this.#watching === undefined) return work(visit.moment);
    const released = this.#released.signal;
    const ofSession = ({ live }: Watching) => live.paused(() => this.#during(live.moment, work, live.released));
    // Without a gdbstub nothing can stop the guest: a sample of it is looked at.
    if (this.#options.gdb === undefined) return this.#withSession(ofSession);
    const ask = () => {
      const watching = this.#watching;
      return watching === undefined ? this.#visit(work, released) : this.#using(() => ofSession(watching));
    };
    // A session that is being opened or closed has the gdbstub's one place until then.
    return this.#watching === undefined ? this.#inTurn(ask) : ask();
  }

  async watching<T>(work: (watching: Watching) => Promise<T>): Promise<T> {
    if (this.#visits.getStore()?.isOver === false)
      throw new PtmonError(
        'bad-argument',
        'inside guest.paused() nothing can be watched or written: do it before, or afterwards',
      );
    return this.#withSession(work);
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
    this.#released.abort(new PtmonError('closed', `${this.name}: the guest was released`));
    this.#released = new AbortController();
    if (leaveStopped) {
      requireCapability(this.capabilities, 'write', `leaving ${this.name} stopped`);
      await this.#open();
    }
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

  #withSession<T>(work: (watching: Watching) => Promise<T>): Promise<T> {
    return this.#using(async () => work(await this.#open()));
  }

  #open(): Promise<Watching> {
    return this.#inTurn(async () => {
      if (this.#watching !== undefined) return this.#watching;
      const { qmp, gdb, isKvm, proof = false } = this.#options;
      const live = await LiveSession.open({ qmp, gdb: proof ? undefined : gdb, isKvm, proof, signal: this.#signal });
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

  /** @param released aborted when the guest is released */
  async #visit<T>(work: (moment: Moment) => Promise<T>, released: AbortSignal): Promise<T> {
    const { qmp, gdb } = this.#options;
    const signal = AbortSignal.any([released, ...(this.#signal === undefined ? [] : [this.#signal])]);
    const snapshot = await openQemuSnapshot({ qmp, gdb: gdb!, signal });
    try {
      const moment = await Moment.of(snapshot, signal);
      return await this.#during(moment, work, signal);
    } finally {
      await snapshot.close();
    }
  }

  /** @param released aborted when the guest is released */
  async #during<T>(moment: Moment, work: (moment: Moment) => Promise<T>, released: AbortSignal): Promise<T> {
    const visit = { moment, isOver: false };
    try {
      const asked = this.#visits.run(visit, () => work(moment));
      return await unlessAborted(released, asked);
    } finally {
      visit.isOver = true;
    }
  }
}
