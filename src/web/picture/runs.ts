/** What an address space maps, as runs of pages in ascending order; and what two of them have each that the other has not. */
import { frameStep, isSwapped, isWritable, type Look, leafPages } from './look.ts';

/**
 * Pages that follow each other and look alike. `gfn` is the frame of the first one, and -1 of pages that are swapped out.
 */
export type Run = readonly [vpn: number, pages: number, look: Look, gfn: number];

/** The frame behind a page of a run. */
export function frameAt([vpn, , look, gfn]: Run, at: number): number {
  return gfn < 0 ? gfn : gfn + (at - vpn) * frameStep(look);
}

/** The page of a run that maps a frame, the first where several do; undefined where none does. */
export function pageOfFrame([vpn, pages, look, first]: Run, gfn: number): number | undefined {
  const frames = frameStep(look) === 0 ? 1 : pages;
  return first >= 0 && gfn >= first && gfn < first + frames ? vpn + gfn - first : undefined;
}

/** The part of a run in [from, to); undefined where there is none. */
export function partOf(run: Run, from: number, to: number): Run | undefined {
  const [vpn, pages, look] = run;
  const first = Math.max(vpn, from);
  const count = Math.min(vpn + pages, to) - first;
  if (count <= 0) return undefined;
  return count === pages ? run : [first, count, look, frameAt(run, first)];
}

/** Whether the second run continues the first. */
function continues(a: Run, b: Run): boolean {
  return a[0] + a[1] === b[0] && a[2] === b[2] && frameAt(a, b[0]) === b[3];
}

/** The same pages in as few runs as possible. @param runs ascending */
export function joinRuns(runs: Iterable<Run>): Run[] {
  const joined: Run[] = [];
  for (const run of runs) {
    const last = joined.at(-1);
    if (last !== undefined && continues(last, run))
      joined[joined.length - 1] = [last[0], last[1] + run[1], last[2], last[3]];
    else joined.push(run);
  }
  return joined;
}

/** What is in pages [from, to) from now on. */
export interface SpanChange {
  readonly from: number;
  readonly to: number;
  readonly runs: readonly Run[];
}

export class RunMap {
  #runs: Run[];

  /** @param runs ascending */
  constructor(runs: Iterable<Run> = []) {
    this.#runs = joinRuns(runs);
  }

  get runs(): readonly Run[] {
    return this.#runs;
  }

  /** Undefined for a page that is absent. */
  at(vpn: number): Run | undefined {
    const run = this.#runs[this.#indexOf(vpn)];
    return run !== undefined && run[0] <= vpn ? run : undefined;
  }

  /** The runs in [from, to), cut to it. */
  in(from: number, to: number): Run[] {
    const found: Run[] = [];
    for (let at = this.#indexOf(from); at < this.#runs.length; at++) {
      const part = partOf(this.#runs[at]!, from, to);
      if (part === undefined) break;
      found.push(part);
    }
    return found;
  }

  /** Puts `runs` in the place of what is in [from, to), and returns that. */
  replace(from: number, to: number, runs: readonly Run[]): Run[] {
    const before = this.in(from, to);
    const first = this.#indexOf(from);
    let last = first;
    while (last < this.#runs.length && this.#runs[last]![0] < to) last++;
    const lead = last > first ? partOf(this.#runs[first]!, 0, from) : undefined;
    const trail = last > first ? partOf(this.#runs[last - 1]!, to, Infinity) : undefined;
    const edge = this.#runs[first - 1];
    const next = this.#runs[last];
    const between = [edge, lead, ...runs, trail, next].filter((run) => run !== undefined);
    const start = edge === undefined ? first : first - 1;
    this.#runs.splice(start, (next === undefined ? last : last + 1) - start, ...joinRuns(between));
    return before;
  }

  /**
   * The same for many spans at once, in one pass.
   *
   * @param changes ascending, none overlaps another
   * @returns what was in each
   */
  replaceAll(changes: readonly SpanChange[]): Run[][] {
    const befores = changes.map(({ from, to }) => this.in(from, to));
    const runs = this.#runs;
    const joined: Run[] = [];
    const push = (run: Run | undefined) => {
      if (run === undefined) return;
      const last = joined.at(-1);
      if (last !== undefined && continues(last, run))
        joined[joined.length - 1] = [last[0], last[1] + run[1], last[2], last[3]];
      else joined.push(run);
    };
    let index = 0;
    // The rest of a run that a change has cut.
    let current = runs[0];
    const next = () => (current = runs[++index]);
    for (const { from, to, runs: put } of changes) {
      for (; current !== undefined && current[0] + current[1] <= from; next()) push(current);
      if (current !== undefined && current[0] < from) push(partOf(current, 0, from));
      while (current !== undefined && current[0] + current[1] <= to) next();
      if (current !== undefined && current[0] < to) current = partOf(current, to, Infinity);
      for (const run of put) push(run);
    }
    for (; current !== undefined; next()) push(current);
    this.#runs = joined;
    return befores;
  }

  /** Of the first run that ends behind `vpn`. */
  #indexOf(vpn: number): number {
    let [low, high] = [0, this.#runs.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      const [start, pages] = this.#runs[middle]!;
      if (start + pages > vpn) high = middle;
      else low = middle + 1;
    }
    return low;
  }
}

/** A stretch of pages that is not alike in both; a side is undefined where it is absent. */
export interface Difference {
  readonly vpn: number;
  readonly pages: number;
  readonly before: Run | undefined;
  readonly after: Run | undefined;
}

/** The differences, ascending. */
export function* differences(before: readonly Run[], after: readonly Run[]): Generator<Difference, void, undefined> {
  let [a, b] = [0, 0];
  for (let at = 0; ; ) {
    while (a < before.length && before[a]![0] + before[a]![1] <= at) a++;
    while (b < after.length && after[b]![0] + after[b]![1] <= at) b++;
    const [was, is] = [before[a], after[b]];
    if (was === undefined && is === undefined) return;
    at = Math.max(at, Math.min(was?.[0] ?? Infinity, is?.[0] ?? Infinity));
    const inWas = was !== undefined && was[0] <= at;
    const inIs = is !== undefined && is[0] <= at;
    const end = Math.min(boundOf(was, inWas), boundOf(is, inIs));
    const old = inWas ? partOf(was, at, end) : undefined;
    const now = inIs ? partOf(is, at, end) : undefined;
    if (old?.[2] !== now?.[2] || old?.[3] !== now?.[3]) yield { vpn: at, pages: end - at, before: old, after: now };
    at = end;
  }
}

function boundOf(run: Run | undefined, isInside: boolean): number {
  if (run === undefined) return Infinity;
  return isInside ? run[0] + run[1] : run[0];
}

/** What happened to a process between two looks at it, in 4 KiB pages. */
export interface ChangeCounts {
  readonly pagesIn: number;
  readonly pagesOut: number;
  /** Pages that were read-only and are writable now, with another frame: what a write to a shared page looks like. */
  readonly copies: number;
}

export function countChanges(before: readonly Run[], after: readonly Run[]): ChangeCounts {
  let [pagesIn, pagesOut, copies] = [0, 0, 0];
  for (const { pages, before: was, after: is } of differences(before, after)) {
    const [had, has] = [isBacked(was), isBacked(is)];
    const isMoved = had && has && was![3] !== is![3];
    if (has && (!had || isMoved)) pagesIn += pages;
    if (had && (!has || isMoved)) pagesOut += pages;
    if (isMoved && !isWritable(was![2]) && isWritable(is![2])) copies += pages;
  }
  return { pagesIn, pagesOut, copies };
}

/** What a set of runs is in all, in 4 KiB pages. */
export interface RunTotals {
  readonly mapped: number;
  readonly swapped: number;
  /** Mapped by leaves larger than 4 KiB. */
  readonly large: number;
}

export function totalsOf(runs: Iterable<Run>): RunTotals {
  let [mapped, swapped, large] = [0, 0, 0];
  for (const [, pages, look] of runs) {
    if (isSwapped(look)) swapped += pages;
    else mapped += pages;
    if (!isSwapped(look) && leafPages(look) > 1) large += pages;
  }
  return { mapped, swapped, large };
}

function isBacked(run: Run | undefined): boolean {
  return run !== undefined && !isSwapped(run[2]);
}
