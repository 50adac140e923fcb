/** Groups events that follow each other in one address space, so that an exit is one line for each kind and name. */
import type { MonitorEvent } from '../../core/monitor/events.ts';

/** A pause that ends a group. */
const PAUSE_US = 100_000;

/** Events of one kind, with the same tags, caused by entries of one level. */
export interface AlikeEvents {
  /** Of the first of them. */
  readonly timeUs: number;
  readonly events: readonly MonitorEvent[];
}

export class EventBursts {
  readonly #alike = new Map<string, { readonly timeUs: number; readonly events: MonitorEvent[] }>();
  /** The kinds and addresses of the group. The same again begins a new group. */
  readonly #seen = new Set<string>();
  #root = -1;
  #lastUs = 0;

  /** Adds an event. Returns the group before it, if the event does not belong to that. */
  add(event: MonitorEvent, timeUs: number): readonly AlikeEvents[] {
    // Every watched range of a root reports its end.
    const again = event.kind === 'root-gone' ? event.kind : `${event.kind} ${event.va}`;
    const goesOn = event.root === this.#root && timeUs - this.#lastUs < PAUSE_US && !this.#seen.has(again);
    const complete = goesOn ? [] : this.end();
    this.#root = event.root;
    this.#lastUs = timeUs;
    if (event.kind !== 'root-gone') this.#seen.add(again);
    const what = event.kind === 'root-gone' ? '' : `${event.cause?.level} ${event.tags.join(' ')}`;
    const key = `${event.kind} ${what}`;
    const alike = this.#alike.get(key);
    if (alike === undefined) this.#alike.set(key, { timeUs, events: [event] });
    else alike.events.push(event);
    return complete;
  }

  /** Returns the open group, in the order of the first event of each kind and name. */
  end(): readonly AlikeEvents[] {
    const complete = [...this.#alike.values()];
    this.#alike.clear();
    this.#seen.clear();
    return complete;
  }
}
