/** A handle on the memory of a process, or of all processes of a name: `for await (const event of await process.watch('heap'))`. */
import type { MonitorEvent } from '../../core/monitor/events.ts';
import type { SourceEvent } from '../../driver/driver.ts';
import { type ProcessEvent, type ProcessSelection, ProcessWatch } from '../../linux/index.ts';
import { EventQueue } from './event-queue.ts';
import type { EventLayer } from './layers.ts';
import type { LiveSession } from './live-session.ts';

export interface ProcessWatchRequest {
  readonly live: LiveSession;
  readonly selection: ProcessSelection;
  /** Beyond page-in, page-out and root-gone. */
  readonly kinds: readonly MonitorEvent['kind'][];
  /** Called when the handle is stopped. */
  readonly onStop: () => void;
}

let handles = 0;

/** Reads a process's events in their order. The guest is stopped while the reader's loop body runs. */
export class ProcessWatchHandle implements AsyncIterable<ProcessEvent>, AsyncDisposable, EventLayer {
  readonly #live: LiveSession;
  readonly #watch: ProcessWatch;
  readonly #queue: EventQueue<ProcessEvent>;
  readonly #onStop: () => void;
  readonly #kinds: ReadonlySet<MonitorEvent['kind']>;
  #isStopped = false;
  /** The process has: its last events are still to be read. */
  #hasEnded = false;

  private constructor({ live, selection, kinds, onStop }: ProcessWatchRequest) {
    this.#live = live;
    this.#kinds = new Set(['page-in', 'page-out', 'root-gone', ...kinds]);
    this.#onStop = onStop;
    this.#queue = new EventQueue(() => live.start());
    this.#watch = new ProcessWatch({
      linux: live.linux,
      selection,
      isExact: live.isExact,
      vcpuCount: live.vcpuCount,
      owner: `watch ${handles++}`,
      onEnd: () => (this.#hasEnded = true),
    });
    live.onEnd((failure) => this.#queue.end(failure));
  }

  /** Watches from now on. The guest must be stopped. @throws PtmonError `bad-argument` where there is no such process */
  static async open(request: ProcessWatchRequest): Promise<ProcessWatchHandle> {
    const { live } = request;
    const handle = new ProcessWatchHandle(request);
    await handle.#watch.begin(live.session);
    live.add(handle);
    live.addReader(handle.#queue);
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
    this.#live.remove(this);
    this.#live.removeReader(this.#queue);
    await this.#live.paused(async () => this.#watch.end()).catch(() => {});
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
    for (const event of events) if (this.#kinds.has(event.kind)) await this.#queue.push(event as ProcessEvent);
    if (this.#hasEnded) await this.stop();
  }
}
