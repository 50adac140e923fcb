/** The sinks of one session, written to as one. */
import type { MonitorEvent } from '../core/monitor/events.ts';
import type { Sink, SourceInfo, Summary, WatchChange } from '../sinks/sink.ts';

/**
 * A sink that fails is left alone from then on, and the others still get all events: what failed is thrown only when
 * the caller asks for it (`rethrow`), after the events have reached everyone else.
 */
export class SinkGroup {
  readonly #sinks: readonly Sink[];
  readonly #failed = new Map<Sink, unknown>();
  #thrown = false;

  constructor(sinks: readonly Sink[]) {
    this.#sinks = sinks;
  }

  get isEmpty(): boolean {
    return this.#sinks.length === 0;
  }

  /** Whether none needs the guest stopped. */
  get mayLag(): boolean {
    return this.#sinks.every((sink) => sink.mayLag === true);
  }

  begin(source: SourceInfo): Promise<void> {
    return this.#each((sink) => sink.begin?.(source));
  }

  async write(events: readonly MonitorEvent[]): Promise<void> {
    for (const event of events) await this.#each((sink) => sink.write(event));
  }

  /** Whether any wants to hear of watches. */
  get hearsWatches(): boolean {
    return this.#sinks.some((sink) => sink.watch !== undefined);
  }

  async watch(changes: readonly WatchChange[]): Promise<void> {
    for (const change of changes) await this.#each((sink) => sink.watch?.(change));
  }

  /** Ends every sink, those that failed before too: they may hold something. */
  async end(summary: Summary): Promise<void> {
    for (const sink of this.#sinks) {
      try {
        await sink.end(summary);
      } catch (error) {
        if (!this.#failed.has(sink)) this.#failed.set(sink, error);
      }
    }
  }

  /** What the first sink that failed threw; undefined while none has. */
  get failure(): unknown {
    return this.#failed.values().next().value;
  }

  /** Throws that, once. */
  rethrow(): void {
    if (this.#thrown || this.#failed.size === 0) return;
    this.#thrown = true;
    throw this.failure;
  }

  async #each(call: (sink: Sink) => void | Promise<void>): Promise<void> {
    for (const sink of this.#sinks) {
      if (this.#failed.has(sink)) continue;
      try {
        const pending = call(sink);
        if (pending !== undefined) await pending;
      } catch (error) {
        this.#failed.set(sink, error);
      }
    }
  }
}
