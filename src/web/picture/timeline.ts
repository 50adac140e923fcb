/** The address spaces of a scene at one of its steps: goes forward and back, and takes new steps while a guest runs. */
import { RunMap, type SpanChange } from './runs.ts';
import type { Area, Change, Scene, Space, Step } from './scene.ts';

export interface SpaceState {
  readonly root: number;
  readonly name: string;
  readonly pid: number | null;
  areas: readonly Area[];
  readonly map: RunMap;
}

/** Receives each change as it is applied: forward, or back. */
export type ChangeListener = (change: Change, isBack: boolean) => void;

/** Steps that are kept of a live guest: older ones can no longer be gone back to. */
const MAX_STEPS = 20_000;

export class Timeline {
  readonly spaces: SpaceState[] = [];
  readonly #steps: Step[] = [];
  /** By step, what undoes its changes; the last one first. */
  readonly #undo: (readonly Change[])[] = [];
  /** Steps that are applied. */
  #at = 0;

  constructor({ spaces, steps }: Pick<Scene, 'spaces' | 'steps'>) {
    for (const space of spaces) this.#addSpace(space);
    for (const step of steps) this.append(step);
  }

  get steps(): readonly Step[] {
    return this.#steps;
  }

  /** Number of steps that are applied. */
  get at(): number {
    return this.#at;
  }

  get isAtEnd(): boolean {
    return this.#at === this.#steps.length;
  }

  /** Of the last step that is applied; 0 before the first. */
  get timeMs(): number {
    return this.#steps[this.#at - 1]?.timeMs ?? 0;
  }

  /** Adds a step at the end, without applying it. Returns how many of the oldest steps were dropped. */
  append(step: Step): number {
    this.#steps.push(step);
    for (const space of step.spaces ?? []) this.#addSpace(space);
    for (const [index, areas] of step.areas ?? []) {
      const space = this.spaces[index];
      if (space !== undefined) space.areas = areas;
    }
    // What is not applied yet cannot be dropped.
    const dropped = Math.min(this.#at, Math.max(0, this.#steps.length - MAX_STEPS));
    if (dropped < MAX_STEPS / 10) return 0;
    this.#steps.splice(0, dropped);
    this.#undo.splice(0, dropped);
    this.#at -= dropped;
    return dropped;
  }

  /** Applies steps, or takes them back, until `count` of them are applied. */
  seek(count: number, listener: ChangeListener = () => {}): void {
    const wanted = Math.max(0, Math.min(this.#steps.length, count));
    while (this.#at < wanted) {
      const step = this.#steps[this.#at]!;
      const undo = this.#applyAll(step.changes);
      for (const change of step.changes) listener(change, false);
      this.#undo[this.#at] ??= undo;
      this.#at++;
    }
    while (this.#at > wanted) {
      this.#at--;
      const undo = this.#undo[this.#at] ?? [];
      this.#applyAll(undo);
      for (const change of undo) listener(change, true);
    }
  }

  /** The number of steps that have happened by a time. */
  countAt(timeMs: number): number {
    let [low, high] = [0, this.#steps.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#steps[middle]!.timeMs <= timeMs) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Returns the changes that undo them, in the order in which they do. */
  #applyAll(changes: readonly Change[]): readonly Change[] {
    if (changes.length >= MANY) {
      const spans = spansOf(changes);
      if (spans !== undefined) return this.#applySpans(spans);
    }
    const undo: Change[] = [];
    for (const change of changes) {
      const before = this.#apply(change);
      if (before !== undefined) undo.push(before);
    }
    return undo.reverse();
  }

  #applySpans(bySpace: ReadonlyMap<number, readonly SpanChange[]>): readonly Change[] {
    const undo: Change[] = [];
    for (const [index, spans] of bySpace) {
      const befores = this.spaces[index]?.map.replaceAll(spans) ?? [];
      for (const [at, before] of befores.entries()) {
        const { from, to } = spans[at]!;
        undo.push([index, from, to - from, before]);
      }
    }
    return undo;
  }

  /** Returns the change that undoes it; undefined for a space that does not exist. */
  #apply([index, vpn, pages, runs]: Change): Change | undefined {
    const before = this.spaces[index]?.map.replace(vpn, vpn + pages, runs);
    return before === undefined ? undefined : [index, vpn, pages, before];
  }

  #addSpace({ root, name, pid, areas, runs }: Space): void {
    this.spaces.push({ root, name, pid, areas, map: new RunMap(runs) });
  }
}

/** Changes that are worth a pass through all runs of a space. */
const MANY = 64;

/** The changes of each space, ascending; undefined where two of them overlap, so that their order matters. */
function spansOf(changes: readonly Change[]): Map<number, SpanChange[]> | undefined {
  const bySpace = new Map<number, SpanChange[]>();
  for (const [space, from, pages, runs] of changes) {
    const spans = bySpace.get(space) ?? [];
    spans.push({ from, to: from + pages, runs });
    bySpace.set(space, spans);
  }
  for (const spans of bySpace.values()) {
    spans.sort((a, b) => a.from - b.from);
    if (spans.some(({ from }, at) => at > 0 && from < spans[at - 1]!.to)) return undefined;
  }
  return bySpace;
}
