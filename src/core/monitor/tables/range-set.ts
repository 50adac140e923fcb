/**
 * The watched ranges of one address space (rule R2): disjoint segments, ascending, each with its references.
 *
 *      ranges     |-------- a --------|
 *                           |-------- b --------|
 *      segments   |--- a ---|-- a, b -|--- b ---|
 *
 * Neighbours with equal references are one segment, so pages that were split are reported as one run again.
 */
import { type GivenTag, nextTurn, type Tag } from '../../struct/references.ts';
import type { Segment } from '../../struct/segment-chunk.ts';
import { SegmentList } from '../../struct/segment-list.ts';

export type { Segment };

/** What `undo` needs to take back an `add`. */
export interface Added {
  readonly first: number;
  readonly last: number;
  readonly tag: Tag | undefined;
  /** Where segments were split in two: the first page of the second one. */
  readonly splits: readonly number[];
  /** Segments that were reported in runs before. */
  readonly inRuns: readonly Segment[];
}

export class RangeSet {
  /** The first page of the upper half: the page before it is its neighbour in number only. */
  readonly #border: number;
  readonly #list = new SegmentList();
  /**
   * Whether neighbours are joined that were watched by different calls. Where single watches overlap ranges, neighbours whose tags came in
   * another order stay separate.
   */
  joinsAll = true;

  constructor(border: number) {
    this.#border = border;
  }

  get isEmpty(): boolean {
    return this.#list.isEmpty;
  }

  /** A copy. */
  get segments(): readonly Segment[] {
    return [...this.#list];
  }

  /** Adds one reference to every page from `first` to `last`. `join` or `undo` must follow. */
  add(first: number, last: number, tag: Tag | undefined, runs: boolean): Added {
    const splits = this.#splitAround(first, last);
    const inRuns: Segment[] = [];
    for (const chunk of this.#list.between(first, last)) {
      if (chunk.first >= first && chunk.last <= last && chunk.countForAll(runs)) continue;
      chunk.open();
      for (const segment of chunk.between(first, last)) {
        segment.count++;
        if (segment.runs && !runs) inRuns.push(segment);
        segment.runs &&= runs;
      }
    }
    if (tag !== undefined) {
      const fresh = { tag, count: 1, since: nextTurn() };
      this.#list.changeTag(tag, first, last, (given) => (given === undefined ? fresh : counted(given, 1)));
    }
    return { first, last, tag, splits, inRuns };
  }

  /** Takes an `add` back, right after it. */
  undo({ first, last, tag, splits, inRuns }: Added): void {
    for (const segment of inRuns) segment.runs = true;
    for (const chunk of this.#list.between(first, last)) {
      chunk.open();
      for (const segment of chunk.between(first, last)) segment.count--;
    }
    if (tag !== undefined) this.#list.changeTag(tag, first, last, (given) => counted(given!, -1));
    for (const page of splits) {
      const at = this.#list.positionOf(page);
      const chunk = this.#list.chunkAt(at)!;
      const before = this.#list.chunkAt(this.#list.positionOf(page - 1))!;
      const index = chunk.indexOf(page);
      before.open()[before.indexOf(page - 1)]!.last = chunk.open()[index]!.last;
      this.#list.drop(at, index);
    }
    this.#list.dropEmpty();
  }

  /** Releases one reference (of `tag`) of every page from `first` to `last` that has one. Returns whether any had. */
  release(first: number, last: number, tag: Tag | undefined): boolean {
    if (!this.#hasAny(first, last, tag)) return false;
    this.#splitAround(first, last);
    const left: Segment[] = [];
    for (const chunk of this.#list.between(first, last)) {
      if (chunk.first >= first && chunk.last <= last && chunk.discountForAll(tag)) continue;
      chunk.open();
      for (const segment of chunk.holders(tag, first, last)) {
        segment.count--;
        if (segment.count === 0) left.push(segment);
      }
    }
    if (tag !== undefined) this.#list.changeTag(tag, first, last, (given) => given && counted(given, -1));
    for (const segment of left) this.#empty(segment);
    this.join(first, last);
    return true;
  }

  /** Releases every reference of the pages from `first` to `last`. */
  clear(first: number, last: number): void {
    if (!this.overlaps(first, last)) return;
    this.#splitAround(first, last);
    for (const chunk of this.#list.between(first, last)) {
      chunk.open();
      for (const segment of chunk.holders(undefined, first, last)) this.#empty(segment);
    }
    this.join(first, last);
  }

  /** The segment that contains a page. */
  find(page: number): Segment | undefined {
    const chunk = this.#list.chunkAt(this.#list.positionOf(page));
    if (chunk === undefined) return undefined;
    chunk.settle();
    const segment = chunk.segments[chunk.indexOf(page)]!;
    return segment.count > 0 ? segment : undefined;
  }

  /** Whether any segment has a page from `first` to `last`. */
  overlaps(first: number, last: number): boolean {
    for (let page = first; page <= last; ) {
      const chunk = this.#list.chunkAt(this.#list.positionOf(page));
      if (chunk === undefined) return false;
      const segment = chunk.segments[chunk.indexOf(page)]!;
      if (chunk.countOf(segment) > 0) return true;
      page = segment.last + 1;
    }
    return false;
  }

  /** The segments that have a page from `first` to `last`, ascending. */
  *overlapping(first: number, last: number): Generator<Segment> {
    for (const chunk of this.#list.between(first, last)) {
      chunk.settle();
      for (const segment of chunk.between(first, last)) if (segment.count > 0) yield segment;
    }
  }

  /** Joins neighbours with equal references, from the page before `first` to the one after `last`. */
  join(first: number, last: number): void {
    const list = this.#list;
    for (let at = list.positionOf(first - 1); ; ) {
      const chunk = list.chunkAt(at);
      if (chunk === undefined || chunk.first > last + 1) break;
      if (chunk.isDirty) {
        const segments = chunk.open();
        for (let index = chunk.indexOf(first - 1); index + 1 < segments.length; ) {
          const next = segments[index + 1]!;
          if (next.first > last + 1) break;
          if (this.#joinsTo(segments[index]!, next)) list.drop(at, index + 1);
          else index++;
        }
      }
      const next = list.chunkAt(at + 1);
      // A reference that two chunks got, or lost, at once cannot make unequal segments equal.
      if (next !== undefined && next.first <= last + 1 && (chunk.isDirty || next.isDirty)) {
        chunk.settle();
        next.settle();
        if (this.#joinsTo(chunk.segments.at(-1)!, next.segments[0]!)) {
          chunk.open();
          next.open();
          list.drop(at + 1, 0);
          continue;
        }
      }
      if (chunk.isDirty && list.unite(at)) continue;
      chunk.isDirty = false;
      at++;
    }
    list.dropEmpty();
  }

  /** Makes two neighbours one, where they have equal references. Returns whether it did: then the second one is to be dropped. */
  #joinsTo(segment: Segment, next: Segment): boolean {
    if (segment.count !== next.count || segment.runs !== next.runs) return false;
    if (next.first === this.#border && next.count > 0) return false;
    const changed = [...(next.changes?.keys() ?? [])];
    if (changed.length > 0 && !(this.joinsAll && hasTagsOf(segment, next))) return false;
    // What is left is when its tags were given.
    for (const tag of changed) {
      this.#list.changeTag(tag, next.first, next.last, () => segment.chunk.stateOf(segment, tag));
    }
    segment.last = next.last;
    return true;
  }

  /** Releases every reference of a segment. */
  #empty(segment: Segment): void {
    segment.count = 0;
    segment.runs = true;
    for (const { tag } of segment.tags) this.#list.changeTag(tag, segment.first, segment.last, () => undefined);
  }

  /** Whether any page from `first` to `last` has a reference (of `tag`). */
  #hasAny(first: number, last: number, tag: Tag | undefined): boolean {
    if (tag === undefined) return this.overlaps(first, last);
    for (const chunk of this.#list.between(first, last)) if (chunk.hasTag(tag, first, last)) return true;
    return false;
  }

  /** Makes segments begin at `first` and after `last`. Returns where none did. */
  #splitAround(first: number, last: number): number[] {
    return [first, last + 1].filter((page) => this.#list.splitAt(page));
  }
}

function counted(given: GivenTag, by: 1 | -1): GivenTag | undefined {
  const count = given.count + by;
  return count === 0 ? undefined : { ...given, count };
}

/** Whether two segments have the same tags in the same order, whenever they were given. */
function hasTagsOf(segment: Segment, next: Segment): boolean {
  for (const [tag, given] of next.changes!) {
    if (given?.count !== segment.chunk.stateOf(segment, tag)?.count) return false;
  }
  const tags = segment.tags;
  return next.tags.every(({ tag }, at) => tag === tags[at]!.tag);
}
