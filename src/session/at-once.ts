/**
 * Stops that a session handles in the turn of the event loop in which the source reports them, without a promise: the tables are read and
 * the monitor knows what has changed. All else is done when the guest runs on, and before its next stop is handled.
 *
 * Only where nothing may want the guest stopped any longer, and the monitor needs no more than a moment; the session's loop does the rest.
 */
import type { EventTime, MonitorEvent } from '../core/monitor/events.ts';
import type { SourceEvent, TakeAtOnce, WriteEvent } from '../driver/driver.ts';
import type { SinkGroup } from './sink-group.ts';
import type { ProcessedEvent, SourceEvents } from './source-events.ts';
import type { EventClock } from './event-clock.ts';

export interface AtOnceParts {
  readonly sourceEvents: SourceEvents;
  readonly sinks: SinkGroup;
  readonly clock: EventClock;
  /** Whether nothing wants the guest stopped. */
  readonly mayTake: () => boolean;
  readonly mark: (write: WriteEvent) => void;
  /** Another event of the source is processed, and has led to these. */
  readonly processed: (event: ProcessedEvent, found: readonly MonitorEvent[]) => void;
  /** Whether the same entries are trapped as when the guest ran last. */
  readonly areTrapped: () => boolean;
  /** A sink has failed while the guest ran. */
  readonly failed: () => void;
}

interface Processed {
  readonly event: ProcessedEvent;
  readonly found: MonitorEvent[];
}

export class AtOnce {
  readonly #parts: AtOnceParts;
  /** The batch that was taken last, and how many of its events are done with. */
  #batch: readonly SourceEvent[] | undefined;
  #done = 0;
  readonly #processed: Processed[] = [];
  #writing: Promise<void> | undefined;

  constructor(parts: AtOnceParts) {
    this.#parts = parts;
  }

  /** Never throws: what fails is done again by the session's loop. */
  readonly take: TakeAtOnce = (batch) => {
    const { sourceEvents, clock, mark, mayTake, areTrapped } = this.#parts;
    if (this.#writing !== undefined || !mayTake()) return 'later';
    clock.stopped();
    this.#batch = batch;
    // After this turn: the guest runs by then.
    queueMicrotask(this.#finish);
    for (this.#done = 0; this.#done < batch.length; this.#done++) {
      const event = sourceEvents.prove(batch[this.#done]!);
      if (event.kind === 'write') {
        mark(event);
      } else {
        const found = sourceEvents.processAtOnce(event);
        if (found === null) return 'later';
        this.#processed.push({ event, found });
      }
    }
    return areTrapped() ? 'run-on' : 'processed';
  };

  /** What of a batch is left to do, when the sinks have the events of what was taken. */
  async restOf(batch: readonly SourceEvent[]): Promise<readonly SourceEvent[]> {
    await this.settled();
    return batch === this.#batch ? batch.slice(this.#done) : batch;
  }

  /** Resolves when the sinks have all events. */
  async settled(): Promise<void> {
    await this.#writing;
  }

  readonly #finish = () => {
    const { clock, processed, sinks, failed } = this.#parts;
    const events: MonitorEvent[] = [];
    for (const { event, found } of this.#processed) {
      processed(event, found);
      events.push(...found);
    }
    this.#processed.length = 0;
    if (events.length === 0) return;
    const { time } = clock;
    for (const event of events as { time?: EventTime }[]) event.time = time;
    if (sinks.isEmpty) return;
    this.#writing = sinks.write(events).then(() => {
      this.#writing = undefined;
      if (sinks.failure !== undefined) failed();
    });
  };
}
