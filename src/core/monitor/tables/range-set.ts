/**
 * The watched ranges of one address space (rule R2): disjoint segments, ascending, each with its references.
 *
 *      ranges     |-------- a --------|
 *                           |-------- b --------|
 *      segments   |--- a ---|-- a, b -|--- b ---|
 *
 * Neighbours with equal references are one segment, so pages that were split are reported as one run again.
 */
import { nextTurn, type Tag } from '../../struct/references.ts';
import { type Chunk, indexOf, Segment, SegmentList } from '../../struct/segment-list.ts';

export { Segment };

/** What `undo` needs to take back an `add`. */
export interface Added {
  readonly first: number;
  readonly last: number;
  readonly tag: Tag | undefined;
  /** Where segments were split in two: the first page of the second one. */
  readonly splits: readonly number[];
  /** The pages that no range included before. */
  readonly fresh: readonly Segment[];
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
    const splits = [first, last + 1].filter((page) => this.#splitAt(page));
    const fresh: Segment[] = [];
    const inRuns: Segment[] = [];
    const turn = nextTurn();
    const cover = (from: number, to: number): Segment => {
      const segment = new Segment(from, to);
      segment.runs = runs;
      segment.references.add(tag, turn);
      fresh.push(segment);
      return segment;
    };
    const list = this.#list;
    let next = first;
    for (let at = list.positionOf(first); next <= last; ) {
      const chunk = list.chunkAt(at);
      if (chunk === undefined || chunk.first > last) {
        list.insertBefore(at, cover(next, last));
        break;
      }
      if (chunk.first === next && chunk.last <= last && chunk.addToAll(tag, turn, runs)) {
        next = chunk.last + 1;
        at++;
        continue;
      }
      const segments = chunk.open();
      for (let index = indexOf(segments, next); index < segments.length && next <= last; index++) {
        const segment = segments[index]!;
        if (segment.first > next) {
          const gap = cover(next, Math.min(last, segment.first - 1));
          segments.splice(index, 0, gap);
          next = gap.last + 1;
          continue;
        }
        segment.references.add(tag, turn);
        if (segment.runs && !runs) inRuns.push(segment);
        segment.runs &&= runs;
        next = segment.last + 1;
      }
      at += list.fit(at);
    }
    return { first, last, tag, splits, fresh, inRuns };
  }

  /** Takes an `add` back, right after it. */
  undo({ first, last, tag, splits, fresh, inRuns }: Added): void {
    for (const segment of inRuns) segment.runs = true;
    const isFresh = new Set(fresh);
    this.#keep(first, last, (segment) => !isFresh.has(segment) && segment.references.release(tag));
    for (const page of splits) {
      const [before, after] = [this.find(page - 1)!, this.find(page)!];
      this.#keep(page, after.last, () => false);
      this.#list.chunkAt(this.#list.positionOf(page - 1))!.open();
      before.last = after.last;
    }
  }

  /** Releases one reference (of `tag`) of every page from `first` to `last` that has one. Returns whether any had. */
  release(first: number, last: number, tag: Tag | undefined): boolean {
    if (!this.#hasAny(first, last, tag)) return false;
    this.#splitAt(first);
    this.#splitAt(last + 1);
    const release = ({ references }: Segment) => {
      references.release(tag);
      return references.count > 0;
    };
    this.#keep(first, last, release, (chunk) => chunk.releaseOfAll(tag));
    this.join(first, last);
    return true;
  }

  /** Releases every reference of the pages from `first` to `last`. */
  clear(first: number, last: number): void {
    if (!this.overlaps(first, last)) return;
    this.#splitAt(first);
    this.#splitAt(last + 1);
    this.#keep(first, last, () => false);
    this.join(first, last);
  }

  /** The segment that contains a page. */
  find(page: number): Segment | undefined {
    const chunk = this.#list.chunkAt(this.#list.positionOf(page));
    if (chunk === undefined || chunk.first > page) return undefined;
    chunk.settle();
    const segment = chunk.segments[indexOf(chunk.segments, page)]!;
    return segment.first <= page ? segment : undefined;
  }

  /** Whether any segment has a page from `first` to `last`. */
  overlaps(first: number, last: number): boolean {
    const chunk = this.#list.chunkAt(this.#list.positionOf(first));
    return chunk !== undefined && chunk.segments[indexOf(chunk.segments, first)]!.first <= last;
  }

  /** The segments that have a page from `first` to `last`, ascending. */
  *overlapping(first: number, last: number): Generator<Segment> {
    for (let at = this.#list.positionOf(first); ; at++) {
      const chunk = this.#list.chunkAt(at);
      if (chunk === undefined || chunk.first > last) return;
      chunk.settle();
      const { segments } = chunk;
      for (let index = indexOf(segments, first); index < segments.length; index++) {
        if (segments[index]!.first > last) return;
        yield segments[index]!;
      }
    }
  }

  /** Joins neighbours with equal references, from the page before `first` to the one after `last`. */
  join(first: number, last: number): void {
    const list = this.#list;
    for (let at = list.positionOf(first - 1); ; ) {
      const chunk = list.chunkAt(at);
      if (chunk === undefined || chunk.first > last + 1) return;
      if (chunk.isDirty) {
        const segments = chunk.open();
        for (let index = indexOf(segments, first - 1); index + 1 < segments.length; ) {
          const next = segments[index + 1]!;
          if (next.first > last + 1) break;
          if (this.#joinsTo(segments[index]!, next)) segments.splice(index + 1, 1);
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
          next.open().shift();
          list.fit(at + 1);
          continue;
        }
      }
      if (chunk.isDirty && list.unite(at)) continue;
      chunk.isDirty = false;
      at++;
    }
  }

  /** Makes two neighbours one, where they have equal references. Returns whether it did: then the second one is to be dropped. */
  #joinsTo(segment: Segment, next: Segment): boolean {
    if (!segment.continuesIn(next) || next.first === this.#border) return false;
    if (!this.joinsAll && !segment.references.isAsOldAs(next.references)) return false;
    segment.last = next.last;
    return true;
  }

  /**
   * Drops the segments from `first` to `last` for which `keeps` returns false.
   *
   * @param keepsAll tried first where the range includes a whole chunk: returns whether it has dealt with all of its segments
   */
  #keep(
    first: number,
    last: number,
    keeps: (segment: Segment) => boolean,
    keepsAll: (chunk: Chunk) => boolean = () => false,
  ): void {
    const list = this.#list;
    for (let at = list.positionOf(first); ; ) {
      const chunk = list.chunkAt(at);
      if (chunk === undefined || chunk.first > last) return;
      if (chunk.first >= first && chunk.last <= last && keepsAll(chunk)) {
        at++;
        continue;
      }
      const segments = chunk.open();
      const from = indexOf(segments, first);
      const end = indexOf(segments, last + 1);
      const kept = segments.slice(from, end).filter(keeps);
      if (kept.length < end - from) segments.splice(from, end - from, ...kept);
      at += list.fit(at);
    }
  }

  /** Whether any page from `first` to `last` has a reference (of `tag`). */
  #hasAny(first: number, last: number, tag: Tag | undefined): boolean {
    if (tag === undefined) return this.overlaps(first, last);
    for (let at = this.#list.positionOf(first); ; at++) {
      const chunk = this.#list.chunkAt(at);
      if (chunk === undefined || chunk.first > last) return false;
      if (chunk.hasTag(tag, first, last)) return true;
    }
  }

  /** Splits the segment that reaches across the border before page `page`. Returns whether there was one. */
  #splitAt(page: number): boolean {
    const at = this.#list.positionOf(page);
    const chunk = this.#list.chunkAt(at);
    if (chunk === undefined || chunk.first >= page) return false;
    const index = indexOf(chunk.segments, page);
    const segment = chunk.segments[index]!;
    if (segment.first >= page) return false;
    chunk.open().splice(index + 1, 0, segment.part(page, segment.last));
    segment.last = page - 1;
    this.#list.fit(at);
    return true;
  }
}
