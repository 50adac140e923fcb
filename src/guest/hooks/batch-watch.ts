/** A handle on processes whose events come in batches, each while the guest is stopped at it: for callers that draw or count. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { ProcessEvent, ProcessSelection } from '../../linux/index.ts';
import type { Moment } from '../moment.ts';
import { type HandleRequest, ProcessHandle } from './process-handle.ts';

export interface FollowRequest {
  /** Which processes: one by its PID, or all of a name. */
  readonly selection: ProcessSelection;
  /** Events of one stop. The guest stays stopped until the promise settles, and `moment` is valid as long. */
  readonly onEvents: (events: readonly ProcessEvent[], moment: Moment) => void | Promise<void>;
  /** Called once when no more events come: the process has ended, the handle was stopped, or the session failed. */
  readonly onEnd?: (failure: unknown) => void;
}

export class BatchWatch extends ProcessHandle {
  readonly #request: FollowRequest;

  private constructor(request: FollowRequest & HandleRequest) {
    super(request);
    this.#request = request;
  }

  /** Watches from now on. The guest must be stopped. @throws PtmonError `bad-argument` where there is no such process */
  static async open(request: FollowRequest & HandleRequest): Promise<BatchWatch> {
    const handle = new BatchWatch(request);
    await handle.begin();
    return handle;
  }

  async take(events: readonly MonitorEvent[]): Promise<void> {
    if (events.length > 0) await this.#request.onEvents(events as readonly ProcessEvent[], this.live.moment);
    if (this.hasEnded) await this.stop();
  }

  protected ended(failure: unknown): void {
    this.#request.onEnd?.(failure);
  }
}
