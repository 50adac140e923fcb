/** A process layer that a script stops. */
import type { ProcessSelection } from '../../linux/index.ts';
import type { Session } from '../../session/index.ts';
import type { LiveSession } from '../session/live-session.ts';
import { ProcessLayer } from './process-layer.ts';

export interface HandleRequest {
  readonly live: LiveSession;
  /** Which processes: one by its PID, or all of a name. */
  readonly selection: ProcessSelection;
  /** Called when the handle is stopped: the guest may run without us. */
  readonly onStop: () => void;
}

export abstract class ProcessHandle extends ProcessLayer implements AsyncDisposable {
  readonly #onStop: () => void;
  #isStopped = false;
  #isOver = false;

  /** @internal */
  constructor({ live, selection, onStop }: HandleRequest) {
    super(live, selection);
    this.#onStop = onStop;
    live.onEnd((failure) => this.#end(failure));
  }

  /**
   * Missed changes since something of this guest was first watched: of this watch, and of all that were open at the same time. Where the
   * guest is sampled with proof (`AttachOptions.proof`), `windows` says for how much of the time the number is unknown; a copy.
   */
  lost(): ReturnType<Session['statistics']>['lost'] {
    return this.live.session.statistics().lost;
  }

  /** Releases what it watches. Does nothing after the first time. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#end(undefined);
    this.live.remove(this);
    await this.live.paused(() => this.release()).catch(() => {});
    this.#onStop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  /** Called once when no more events come. @param failure what ended the session; undefined where nothing failed @internal */
  protected abstract ended(failure: unknown): void;

  #end(failure: unknown): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.ended(failure);
  }
}
