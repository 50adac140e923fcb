/** Events that follow one another in one address space: those of one kind and one name in one line, however many pages an exit has. */
import type { MonitorEvent } from '../../../core/monitor/events.ts';

/** A pause that makes two things of what would be one. */
const PAUSE_US = 100_000;

/** Events of one kind, of the same tags, by entries of one level. */
export interface AlikeEvents {
  /** Of the first of them. */
  readonly timeUs: number;
  readonly events: readonly MonitorEvent[];
}

export class EventBursts {
  readonly #alike = new Map<string, { readonly timeUs: number; readonly events: MonitorEvent[] }>();
  /** What was said of which address: the same again is something new. */
  readonly #said = new Set<string>();
  #root = -1;
  #lastUs = 0;

  /** Adds an event. Answers what came before it, where that is over. */
  add(event: MonitorEvent, timeUs: number): readonly AlikeEvents[] {
    const again = `${event.kind} ${event.va}`;
    const goesOn = event.root === this.#root && timeUs - this.#lastUs < PAUSE_US && !this.#said.has(again);
    const complete = goesOn ? [] : this.end();
    this.#root = event.root;
    this.#lastUs = timeUs;
    this.#said.add(again);
    const key = `${event.kind} ${event.cause?.level} ${event.tags.join(' ')}`;
    const alike = this.#alike.get(key);
    if (alike === undefined) this.#alike.set(key, { timeUs, events: [event] });
    else alike.events.push(event);
    return complete;
  }

  /** Answers what is left, in the order of the first of each. */
  end(): readonly AlikeEvents[] {
    const complete = [...this.#alike.values()];
    this.#alike.clear();
    this.#said.clear();
    return complete;
  }
}
