/** Collects steps for a reader that takes them at its own speed: what it has not taken yet becomes one step. */
import { countsOf } from '../picture/rates.ts';
import type { Area, Change, EventKind, SceneEvent, Space, Step } from '../picture/scene.ts';

/** Events that one merged step shows; the rest is counted. */
const MAX_EVENTS = 200;

export class StepBuffer {
  #timeMs = 0;
  #changes: Change[] = [];
  #events: SceneEvent[] = [];
  #omitted = 0;
  #counts: Partial<Record<EventKind, number>> = {};
  #spaces: Space[] = [];
  #areas = new Map<number, readonly Area[]>();
  #isEmpty = true;

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  add(step: Step): void {
    this.#isEmpty = false;
    this.#timeMs = step.timeMs;
    for (const change of step.changes) this.#changes.push(change);
    for (const event of step.events) this.#events.push(event);
    this.#omitted += step.omitted ?? 0;
    // The last ones are those that the reader still sees when it draws.
    if (this.#events.length > 2 * MAX_EVENTS) {
      this.#omitted += this.#events.length - MAX_EVENTS;
      this.#events = this.#events.slice(-MAX_EVENTS);
    }
    for (const [kind, count] of Object.entries(countsOf(step)) as [EventKind, number][])
      this.#counts[kind] = (this.#counts[kind] ?? 0) + count;
    this.#spaces.push(...(step.spaces ?? []));
    for (const [space, areas] of step.areas ?? []) this.#areas.set(space, areas);
  }

  /** What has come since the last call, as one step. */
  take(): Step {
    const omitted = this.#omitted + Math.max(0, this.#events.length - MAX_EVENTS);
    const step: Step = {
      timeMs: this.#timeMs,
      changes: lastChanges(this.#changes),
      events: this.#events.slice(-MAX_EVENTS),
      ...(omitted > 0 && { omitted }),
      counts: this.#counts,
      ...(this.#spaces.length > 0 && { spaces: this.#spaces }),
      ...(this.#areas.size > 0 && { areas: [...this.#areas] }),
    };
    [this.#changes, this.#events, this.#spaces] = [[], [], []];
    this.#omitted = 0;
    this.#counts = {};
    this.#areas = new Map();
    this.#isEmpty = true;
    return step;
  }
}

/** Of several changes of exactly the same pages only the last one matters, unless others overlap them. */
function lastChanges(changes: readonly Change[]): Change[] {
  const last = new Map<string, number>();
  for (const [at, [space, vpn, pages]] of changes.entries()) if (pages === 1) last.set(`${space} ${vpn}`, at);
  return changes.filter(([space, vpn, pages], at) => pages !== 1 || last.get(`${space} ${vpn}`) === at);
}
