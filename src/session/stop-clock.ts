/** When the guest stopped: by the host's clocks, or as it was recorded. */
import type { EventTime } from '../core/monitor/events.ts';
import type { SessionScript } from '../driver/session-parts.ts';

export class StopClock {
  /** ISO 8601. */
  readonly startedAt: string;
  readonly #script: Pick<SessionScript, 'stopUs'> | undefined;
  readonly #startMs = performance.now();
  /** Undefined where the recording does not say when it began. */
  readonly #wallStartMs: number | undefined;
  #stopUs = 0;
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
    const milliseconds = Math.floor(this.#stopUs / 1000);
    const date = new Date(this.#wallStartMs + milliseconds);
    // A recording may claim any time.
    if (Number.isNaN(date.getTime())) return undefined;
    return date.toISOString().replace('Z', `${String(this.#stopUs % 1000).padStart(3, '0')}Z`);
  }
}
