/**
 * The watched ranges of one address space (rule R2): disjoint segments, ascending, each with its references.
 *
 *      ranges     |-------- a --------|
 *                           |-------- b --------|
 *      segments   |--- a ---|-- a, b -|--- b ---|
 *
 * Neighbours with equal references are one segment, so pages that were split are reported as one run again.
 */
import { ChunkedList } from '../../struct/chunked-list.ts';
import { nextTurn, References, type Tag } from '../../struct/references.ts';

export class Segment {
  /** First and last page, both inside. */
  first: number;
  last: number;
  readonly references: References;
  /** Whether every range that was added here asked for runs. */
  runs: boolean;

  constructor(first: number, last: number) {
    this.first = first;
    this.last = last;
    this.references = new References();
    this.runs = true;
  }

  contains(page: number): boolean {
    return this.first <= page && page <= this.last;
  }

  /** Whether `next` follows directly, with equal references. */
  continuesIn(next: Segment): boolean {
    return this.last + 1 === next.first && this.runs === next.runs && this.references.equals(next.references);
  }

  /** A copy of the part from `first` to `last`. */
  part(first: number, last: number): Segment {
    const part = new Segment(first, last);
    part.runs = this.runs;
    part.references.assign(this.references);
    return part;
  }
}

export class RangeSet {
  /** The first page of the upper half: the page before it is its neighbour in number only. */
  readonly #border: number;
  readonly #segments = new ChunkedList<Segment>();
  /**
   * Whether neighbours are joined that were watched by different calls. Where single watches overlap ranges, the order in which tags
   * were given tells the pages apart.
   */
  joinsAll = true;

  constructor(border: number) {
    this.#border = border;
  }

  get isEmpty(): boolean {
    return this.#segments.length === 0;
  }

  /** A copy. */
  get segments(): readonly Segment[] {
    return [...this.#segments];
  }

  /** Adds one reference to every page from `first` to `last`. */
  add(first: number, last: number, tag: Tag | undefined, runs: boolean): void {
    this.#splitAt(first);
    this.#splitAt(last + 1);
    let at = this.#lowerBound(first);
    let next = first;
    const turn = nextTurn();
    while (next <= last) {
      const segment = this.#segments.at(at);
      if (segment === undefined || segment.first > next) {
        const end = Math.min(last, segment === undefined ? last : segment.first - 1);
        this.#segments.replace(at, 0, [new Segment(next, end)]);
        continue;
      }
      segment.references.add(tag, turn);
      segment.runs &&= runs;
      next = segment.last + 1;
      at++;
    }
    this.#join(first, last);
  }

  /** Releases one reference (of `tag`) of every page from `first` to `last` that has one. Returns whether any had. */
  release(first: number, last: number, tag: Tag | undefined): boolean {
    return this.#removeFrom(first, last, (references) => references.release(tag), tag);
  }

  /** Releases every reference of the pages from `first` to `last`. */
  clear(first: number, last: number): void {
    this.#removeFrom(first, last, (references) => references.clear());
  }

  /** The segment that contains a page. */
  find(page: number): Segment | undefined {
    const segment = this.#segments.at(this.#lowerBound(page));
    return segment !== undefined && segment.first <= page ? segment : undefined;
  }

  /** Whether any segment has a page from `first` to `last`. */
  overlaps(first: number, last: number): boolean {
    const segment = this.#segments.at(this.#lowerBound(first));
    return segment !== undefined && segment.first <= last;
  }

  /** The segments that have a page from `first` to `last`, ascending. */
  *overlapping(first: number, last: number): Generator<Segment> {
    for (let at = this.#lowerBound(first); at < this.#segments.length; at++) {
      const segment = this.#segments.at(at)!;
      if (segment.first > last) return;
      yield segment;
    }
  }

  /** Copies of the segments that touch `first` to `last`: what `restore` needs to undo a change there. */
  save(first: number, last: number): Segment[] {
    return [...this.overlapping(first - 1, last + 1)].map((each) => each.part(each.first, each.last));
  }

  /** Puts back what `save` returned, and drops every change there since. */
  restore(first: number, last: number, saved: readonly Segment[]): void {
    const from = Math.min(first, saved[0]?.first ?? first);
    const to = Math.max(last, saved.at(-1)?.last ?? last);
    const at = this.#lowerBound(from);
    this.#segments.replace(at, this.#lowerBound(to + 1) - at, saved);
  }

  #removeFrom(first: number, last: number, remove: (references: References) => void, tag?: Tag): boolean {
    let isHit = false;
    for (const segment of this.overlapping(first, last)) isHit ||= tag === undefined || segment.references.has(tag);
    if (!isHit) return false;
    this.#splitAt(first);
    this.#splitAt(last + 1);
    const from = this.#lowerBound(first);
    const end = this.#lowerBound(last + 1);
    const left: Segment[] = [];
    for (let at = from; at < end; at++) {
      const segment = this.#segments.at(at)!;
      remove(segment.references);
      if (segment.references.count > 0) left.push(segment);
    }
    if (left.length < end - from) this.#segments.replace(from, end - from, left);
    this.#join(first, last);
    return true;
  }

  /** Joins neighbours with equal references, from the page before `first` to the one after `last`. */
  #join(first: number, last: number): void {
    const from = this.#lowerBound(first - 1);
    const end = Math.min(this.#segments.length, this.#lowerBound(last + 2) + 1);
    const joined: Segment[] = [];
    for (let at = from; at < end; at++) {
      const segment = this.#segments.at(at)!;
      const before = joined.at(-1);
      const isNext = before?.continuesIn(segment) && segment.first !== this.#border;
      if (isNext && (this.joinsAll || before!.references.isAsOldAs(segment.references))) before!.last = segment.last;
      else joined.push(segment);
    }
    if (joined.length < end - from) this.#segments.replace(from, end - from, joined);
  }

  /** Splits the segment that reaches across the border before page `page`. */
  #splitAt(page: number): void {
    const at = this.#lowerBound(page);
    const segment = this.#segments.at(at);
    if (segment === undefined || segment.first >= page) return;
    this.#segments.replace(at + 1, 0, [segment.part(page, segment.last)]);
    segment.last = page - 1;
  }

  /** The position of the first segment that does not end before page `page`. */
  #lowerBound(page: number): number {
    return this.#segments.lowerBound((segment) => segment.last < page);
  }
}
