/** The time of an event, which is when the guest stopped for it: by the host's clocks, or as recorded. */
import type { EventTime } from '../core/monitor/events.ts';
import type { SessionScript } from '../driver/session-parts.ts';

export class EventClock {
  /** ISO 8601. */
  readonly startedAt: string;
  readonly #script: Pick<SessionScript, 'stopUs'> | undefined;
  readonly #startMs = performance.now();
  /** Undefined where the recording does not say when it began. */
  readonly #wallStartMs: number | undefined;
  #stopUs = 0;
  // A second's text is made once: at a stop nothing is in the processor's caches, and dates take long then.
  #second = Number.NaN;
  #secondText: string | undefined;
  #time: EventTime | undefined;

  /** @param script of a replay: its times are those of the recording */
  constructor(script?: Pick<SessionScript, 'startedAt' | 'stopUs'>) {
    this.#script = script;
    this.startedAt = script?.startedAt ?? new Date().toISOString();
    const wallStartMs = Date.parse(this.startedAt);
    this.#wallStartMs = Number.isNaN(wallStartMs) ? undefined : wallStartMs;
  }

  /** The guest has stopped. */
  stopped(): void {
    const us = this.#script?.stopUs() ?? Math.round((performance.now() - this.#startMs) * 1000);
    // A trace cannot go back in time: a clock that does would make a replay differ.
    this.#stopUs = Math.max(this.#stopUs, us);
    this.#time = undefined;
  }

  /** Of the last stop, in microseconds since the session began; 0 before the first. */
  get stopUs(): number {
    return this.#stopUs;
  }

  /** One object for each stop. */
  get time(): EventTime {
    this.#time ??= { us: this.#stopUs, at: this.#wallClockText() };
    return this.#time;
  }

  #wallClockText(): string | undefined {
    if (this.#wallStartMs === undefined) return undefined;
    const milliseconds = this.#wallStartMs + Math.floor(this.#stopUs / 1000);
    const second = Math.floor(milliseconds / 1000);
    if (second !== this.#second) {
      const date = new Date(second * 1000);
      // A recording may claim any time.
      this.#secondText = Number.isNaN(date.getTime()) ? undefined : date.toISOString().slice(0, -'000Z'.length);
      this.#second = second;
    }
    if (this.#secondText === undefined) return undefined;
    const fraction = (milliseconds - second * 1000) * 1000 + (this.#stopUs % 1000);
    return `${this.#secondText}${String(fraction).padStart(6, '0')}Z`;
  }
}
