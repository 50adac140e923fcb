/** A handle on the memory of a process, or of all processes of a name: `for await (const event of await process.watch('heap'))`. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { ProcessEvent, ProcessSelection } from '../../linux/index.ts';
import { EventQueue } from '../session/event-queue.ts';
import type { LiveSession } from '../session/live-session.ts';
import { ProcessLayer } from './process-layer.ts';

export interface ProcessWatchRequest {
  readonly live: LiveSession;
  readonly selection: ProcessSelection;
  /** Beyond page-in, page-out and root-gone. */
  readonly kinds: readonly MonitorEvent['kind'][];
  /** Called when the handle is stopped. */
  readonly onStop: () => void;
}

/** Reads a process's events in their order. The guest is stopped while the reader's loop body runs. */
export class ProcessWatchHandle extends ProcessLayer implements AsyncIterable<ProcessEvent>, AsyncDisposable {
  readonly #queue: EventQueue<ProcessEvent>;
  readonly #onStop: () => void;
  readonly #kinds: ReadonlySet<MonitorEvent['kind']>;
  #isStopped = false;

  private constructor({ live, selection, kinds, onStop }: ProcessWatchRequest) {
    super(live, selection);
    this.#kinds = new Set(['page-in', 'page-out', 'root-gone', ...kinds]);
    this.#onStop = onStop;
    this.#queue = new EventQueue(() => live.start());
    live.onEnd((failure) => this.#queue.end(failure));
  }

  /** Watches from now on. The guest must be stopped. @throws PtmonError `bad-argument` where there is no such process */
  static async open(request: ProcessWatchRequest): Promise<ProcessWatchHandle> {
    const handle = new ProcessWatchHandle(request);
    await handle.begin();
    request.live.addReader(handle.#queue);
    return handle;
  }

  /** One reader: it gets every event since the watch began. The iteration ends when the process does, or after `stop`. */
  [Symbol.asyncIterator](): AsyncIterator<ProcessEvent> {
    return this.#queue;
  }

  /** Releases what it watches. Does nothing after the first time. */
  async stop(): Promise<void> {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#queue.end();
    this.live.remove(this);
    this.live.removeReader(this.#queue);
    await this.live.paused(async () => this.release()).catch(() => {});
    this.#onStop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }

  async take(events: readonly MonitorEvent[]): Promise<void> {
    for (const event of events) if (this.#kinds.has(event.kind)) await this.#queue.push(event as ProcessEvent);
    if (this.hasEnded) await this.stop();
  }
}
