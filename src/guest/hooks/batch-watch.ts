/** A handle on processes whose events come in batches, each while the guest is stopped at it: for callers that draw or count. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { ProcessEvent, ProcessSelection } from '../../linux/index.ts';
import type { Moment } from '../moment.ts';
import type { LiveSession } from '../session/live-session.ts';
import { ProcessLayer } from './process-layer.ts';

export interface FollowRequest {
  /** Which processes: one by its PID, or all of a name. */
  readonly selection: ProcessSelection;
  /** Events of one stop. The guest stays stopped until the promise settles, and `moment` is valid as long. */
  readonly onEvents: (events: readonly ProcessEvent[], moment: Moment) => void | Promise<void>;
  /** Called once when no more events come: the process has ended, the handle was stopped, or the session failed. */
  readonly onEnd?: (failure: unknown) => void;
}

export class BatchWatch extends ProcessLayer implements AsyncDisposable {
  readonly #request: FollowRequest;
  readonly #onStop: () => void;
  #isStopped = false;
  #isOver = false;

  private constructor(live: LiveSession, request: FollowRequest, onStop: () => void) {
    super(live, request.selection);
    this.#request = request;
    this.#onStop = onStop;
    live.onEnd((failure) => this.#end(failure));
  }

  /** Watches from now on. The guest must be stopped. @throws PtmonError `bad-argument` where there is no such process */
  static async open(live: LiveSession, request: FollowRequest, onStop: () => void): Promise<BatchWatch> {
    const handle = new BatchWatch(live, request, onStop);
    await handle.begin();
    return handle;
  }

  /** Releases what it watches. Does nothing after the first time. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.live.remove(this);
    await this.live.paused(async () => this.release()).catch(() => {});
    this.#end(undefined);
    this.#onStop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async take(events: readonly MonitorEvent[]): Promise<void> {
    if (events.length > 0) await this.#request.onEvents(events as readonly ProcessEvent[], this.live.moment);
    if (this.hasEnded) await this.stop();
  }

  #end(failure: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#request.onEnd?.(failure);
  }
}
