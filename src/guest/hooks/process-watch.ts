/** A handle on the memory of a process, or of all processes of a name: `for await (const event of await process.watch('heap'))`. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { ProcessEvent } from '../../linux/index.ts';
import { EventQueue } from '../session/event-queue.ts';
import { type HandleRequest, ProcessHandle } from './process-handle.ts';

export interface ProcessWatchRequest extends HandleRequest {
  /** Beyond page-in, page-out and root-gone. */
  readonly kinds: readonly MonitorEvent['kind'][];
}

/** Reads a process's events in their order. The guest is stopped while the reader's loop body runs. */
export class ProcessWatchHandle extends ProcessHandle implements AsyncIterable<ProcessEvent> {
  readonly #queue: EventQueue<ProcessEvent>;
  readonly #kinds: ReadonlySet<MonitorEvent['kind']>;

  private constructor(request: ProcessWatchRequest) {
    super(request);
    this.#kinds = new Set(['page-in', 'page-out', 'root-gone', ...request.kinds]);
    this.#queue = new EventQueue(
      () => this.live.start(),
      () => this.stop(),
    );
  }

  /** Watches from now on. The guest must be stopped. @throws PtmonError `bad-argument` where there is no such process @internal */
  static async open(request: ProcessWatchRequest): Promise<ProcessWatchHandle> {
    const handle = new ProcessWatchHandle(request);
    await handle.begin();
    handle.live.addReader(handle.#queue);
    return handle;
  }

  /** One reader: it gets every event since the watch began. The iteration ends when the process does, or after `stop`; a reader that leaves it stops the watch. */
  [Symbol.asyncIterator](): AsyncIterator<ProcessEvent> {
    return this.#queue;
  }

  /** @internal */
  async take(events: readonly MonitorEvent[]): Promise<void> {
    for (const event of events) if (this.#kinds.has(event.kind)) await this.#queue.push(event as ProcessEvent);
    if (this.hasEnded) await this.stop();
  }

  /** @internal */
  protected ended(failure: unknown): void {
    this.#queue.end(failure);
    this.live.removeReader(this.#queue);
  }
}
