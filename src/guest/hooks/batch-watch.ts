/** A handle on processes whose events come in batches, each while the guest is stopped at it: for callers that draw or count. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { SourceEvent } from '../../driver/driver.ts';
import { type ProcessEvent, type ProcessSelection, ProcessWatch } from '../../linux/index.ts';
import type { Moment } from '../moment.ts';
import type { EventLayer } from './layers.ts';
import type { LiveSession } from './live-session.ts';

export interface FollowRequest {
  /** Which processes: one by its PID, or all of a name. */
  readonly selection: ProcessSelection;
  /** Events of one stop. The guest stays stopped until the promise settles, and `moment` is valid as long. */
  readonly onEvents: (events: readonly ProcessEvent[], moment: Moment) => void | Promise<void>;
  /** Called once when no more events come: the process has ended, the handle was stopped, or the session failed. */
  readonly onEnd?: (failure: unknown) => void;
}

let handles = 0;

export class BatchWatch implements AsyncDisposable, EventLayer {
  readonly #live: LiveSession;
  readonly #request: FollowRequest;
  readonly #watch: ProcessWatch;
  readonly #onStop: () => void;
  #isStopped = false;
  #hasEnded = false;
  #isOver = false;

  private constructor(live: LiveSession, request: FollowRequest, onStop: () => void) {
    this.#live = live;
    this.#request = request;
    this.#onStop = onStop;
    this.#watch = new ProcessWatch({
      linux: live.linux,
      selection: request.selection,
      isExact: live.isExact,
      vcpuCount: live.vcpuCount,
      owner: `batches ${handles++}`,
      onEnd: () => (this.#hasEnded = true),
    });
    live.onEnd((failure) => this.#end(failure));
  }

  /** Watches from now on. The guest must be stopped. @throws PtmonError `bad-argument` where there is no such process */
  static async open(live: LiveSession, request: FollowRequest, onStop: () => void): Promise<BatchWatch> {
    const handle = new BatchWatch(live, request, onStop);
    await handle.#watch.begin(live.session);
    live.add(handle);
    return handle;
  }

  /** Names of the processes that are watched now: `nginx[12]`. */
  get watched(): readonly string[] {
    return this.#watch.watched;
  }

  /** Releases what it watches. Does nothing after the first time. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#live.remove(this);
    await this.#live.paused(async () => this.#watch.end()).catch(() => {});
    this.#end(undefined);
    this.#onStop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  words(): Float64Array {
    return this.#watch.words();
  }

  update(batch: readonly SourceEvent[]): Promise<readonly SourceEvent[]> {
    return this.#watch.update(batch);
  }

  label(events: readonly MonitorEvent[]): Promise<readonly MonitorEvent[]> {
    return this.#watch.label(events);
  }

  async take(events: readonly MonitorEvent[]): Promise<void> {
    // Those of other handles have no process here.
    const own = events.filter((event): event is ProcessEvent => 'pid' in event);
    if (own.length > 0) await this.#request.onEvents(own, this.#live.moment);
    if (this.#hasEnded) await this.stop();
  }

  #end(failure: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#request.onEnd?.(failure);
  }
}
