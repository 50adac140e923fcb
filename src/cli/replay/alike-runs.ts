/** Events that follow one another and say the same of the same: one line for a hundred pages of an exit. */
import type { MonitorEvent } from '../../core/monitor/events.ts';

/** A pause that makes two things of what would be one. */
const PAUSE_US = 100_000;

export interface TimedEvents {
  /** Of the first of them. */
  readonly timeUs: number;
  readonly events: readonly MonitorEvent[];
}

export class AlikeRuns {
  #events: MonitorEvent[] = [];
  #key = '';
  #startUs = 0;
  #lastUs = 0;

  /** Adds an event. Answers those before it that it does not belong to. */
  add(event: MonitorEvent, timeUs: number): TimedEvents | undefined {
    const key = `${event.kind} ${event.root} ${event.tags.join(' ')} ${event.cause?.level}`;
    const goesOn = key === this.#key && timeUs - this.#lastUs < PAUSE_US;
    const complete = goesOn ? undefined : this.end();
    if (this.#events.length === 0) this.#startUs = timeUs;
    this.#key = key;
    this.#lastUs = timeUs;
    this.#events.push(event);
    return complete;
  }

  /** Answers what is left. */
  end(): TimedEvents | undefined {
    if (this.#events.length === 0) return undefined;
    const complete = { timeUs: this.#startUs, events: this.#events };
    this.#events = [];
    return complete;
  }
}
