/**
 * Some of the segments of a `RangeSet`, one after the other. What is the same for many segments is stored once:
 *
 *      tagsBefore           a
 *      segments      [0-3] +b    [4-4] +c    [5-9] -a -b
 *      in effect     a b         a b c       c
 *
 * A segment records only the tags that the segment before it has not, or has otherwise. A call that adds or releases a reference of all
 * segments changes one number and one tag of the chunk. Pages that no range includes are segments, too, with no references.
 */
import { partitionPoint } from './partition-point.ts';
import type { GivenTag, Tag } from './references.ts';

/** Lists of so many tags are not kept: n nested ranges have n^2 in total. */
const LONG_LIST = 32;

const NO_TAGS: readonly GivenTag[] = [];

type State = GivenTag | undefined;

let versions = 0;

export class Segment {
  /** First and last page, both inside. */
  first: number;
  last: number;
  /** References. Its chunk must be settled. */
  count = 0;
  /** Whether every range that was added here asked for runs. */
  runs = true;
  chunk: Chunk;
  /** The tags that are not as in the segment before, each with what it is here: null where this segment lacks it. */
  changes: Map<Tag, GivenTag | null> | null = null;
  #tags: readonly GivenTag[] | null = null;
  #tagsAt = -1;

  constructor(chunk: Chunk, first: number, last: number) {
    this.chunk = chunk;
    this.first = first;
    this.last = last;
  }

  contains(page: number): boolean {
    return this.first <= page && page <= this.last;
  }

  /** Its tags in the order in which they were given. */
  get tags(): readonly GivenTag[] {
    const { version } = this.chunk;
    if (this.#tags !== null && this.#tagsAt === version) return this.#tags;
    const tags = this.chunk.tagsOf(this);
    this.#tags = tags.length < LONG_LIST ? tags : null;
    this.#tagsAt = version;
    return tags;
  }
}

export class Chunk {
  /** Ascending, without gaps, at least one. */
  segments: Segment[] = [];
  /** The tags of the segment before its first one, which is in another chunk. */
  readonly tagsBefore: Map<Tag, GivenTag>;
  /** In how many segments each tag changes. */
  readonly #changing = new Map<Tag, number>();
  /** References that all of its segments have beyond their `count`. */
  #added = 0;
  /** What is true of the segments as they are; null until it is asked. */
  #facts: { readonly least: number; readonly anyRuns: boolean } | null = null;
  /** Whether neighbours may have become equal since they were joined. */
  isDirty = false;
  /** Another one after each change of a tag, and in each chunk. */
  version = 0;

  constructor(tagsBefore = new Map<Tag, GivenTag>()) {
    this.tagsBefore = tagsBefore;
  }

  get first(): number {
    return this.segments[0]!.first;
  }

  get last(): number {
    return this.segments.at(-1)!.last;
  }

  /** Index of the first segment that does not end before a page. */
  indexOf(page: number): number {
    return indexOfPage(this.segments, page);
  }

  /** Its segments with a page from `first` to `last`. */
  between(first: number, last: number): readonly Segment[] {
    const end = this.indexOf(last);
    const isInside = end < this.segments.length && this.segments[end]!.first <= last;
    return this.segments.slice(this.indexOf(first), isInside ? end + 1 : end);
  }

  /** Its segments with all their references, about to change one by one. */
  open(): Segment[] {
    this.settle();
    this.#facts = null;
    this.isDirty = true;
    return this.segments;
  }

  /** Gives its segments the references that they have in common. */
  settle(): void {
    if (this.#added === 0) return;
    for (const segment of this.segments) segment.count += this.#added;
    this.#added = 0;
    this.#facts = null;
  }

  /** References of a segment, whether the chunk is settled or not. */
  countOf(segment: Segment): number {
    return segment.count + this.#added;
  }

  /** Counts one more reference of all segments at once. Returns whether it could. */
  countForAll(runs: boolean): boolean {
    if (!runs && this.#look().anyRuns) return false;
    this.#added++;
    return true;
  }

  /** Counts one reference (of `tag`) less where segments have one. Returns whether it could: each must have another one. */
  discountForAll(tag: Tag | undefined): boolean {
    if (tag !== undefined) {
      if (this.#changing.has(tag)) return false;
      if (!this.tagsBefore.has(tag)) return true;
    }
    if (this.#look().least + this.#added < 2) return false;
    this.#added--;
    return true;
  }

  /** The segments from `first` to `last` that have a reference (of `tag`). */
  holders(tag: Tag | undefined, first: number, last: number): readonly Segment[] {
    const within = this.between(first, last);
    if (tag === undefined) return within.filter((segment) => this.countOf(segment) > 0);
    let has = this.#stateAt(tag, this.indexOf(first) - 1) !== undefined;
    return within.filter(({ changes }) => {
      const own = changes?.get(tag);
      if (own !== undefined) has = own !== null;
      return has;
    });
  }

  /** Whether any segment from `first` to `last` has a tag. */
  hasTag(tag: Tag, first: number, last: number): boolean {
    if (!this.#changing.has(tag)) return this.tagsBefore.has(tag);
    return this.holders(tag, first, last).length > 0;
  }

  /** What a segment has of a tag. */
  stateOf(segment: Segment, tag: Tag): State {
    return this.#stateAt(tag, this.indexOf(segment.first));
  }

  /** Changes what the pages from `first` to `last` have of a tag. They begin before the chunk, or in it, with a segment. */
  changeTag(tag: Tag, first: number, last: number, change: (state: State) => State): void {
    const { segments } = this;
    const isBefore = this.first > first;
    const from = isBefore ? 0 : this.indexOf(first);
    const end = this.indexOf(last + 1);
    const changesWithin = this.#changing.has(tag);
    let old = this.#stateAt(tag, from - 1);
    let now = isBefore ? change(old) : old;
    this.version = ++versions;
    if (isBefore && now === undefined) this.tagsBefore.delete(tag);
    else if (isBefore) this.tagsBefore.set(tag, now!);
    for (let index = from; index <= end && index < segments.length; ) {
      const segment = segments[index]!;
      const own = segment.changes?.get(tag);
      if (own !== undefined) old = own ?? undefined;
      const next = index < end ? change(old) : old;
      this.#record(segment, tag, next, now);
      now = next;
      index = changesWithin || index === end ? index + 1 : end;
    }
  }

  /** The tags of a segment in the order in which they were given. */
  tagsOf(segment: Segment): readonly GivenTag[] {
    if (this.tagsBefore.size === 0 && this.#changing.size === 0) return NO_TAGS;
    return [...this.#tagsAt(this.indexOf(segment.first)).values()].sort((a, b) => a.since - b.since);
  }

  /** Cuts off the segments from an index on: they are another chunk. */
  cut(index: number): Chunk {
    const rest = new Chunk(this.#tagsAt(index - 1));
    for (const segment of this.open().splice(index)) {
      this.#countChanges(segment, -1);
      rest.#take(segment);
    }
    rest.isDirty = true;
    return rest;
  }

  /** Takes over all segments of the next chunk. */
  append(next: Chunk): void {
    this.open();
    for (const segment of next.open()) this.#take(segment);
  }

  #take(segment: Segment): void {
    segment.chunk = this;
    this.version = ++versions;
    this.segments.push(segment);
    this.#countChanges(segment, 1);
  }

  #tagsAt(index: number): Map<Tag, GivenTag> {
    const tags = new Map(this.tagsBefore);
    for (let at = 0; at <= index; at++) {
      for (const [tag, state] of this.segments[at]!.changes ?? []) {
        if (state === null) tags.delete(tag);
        else tags.set(tag, state);
      }
    }
    return tags;
  }

  #stateAt(tag: Tag, index: number): State {
    for (let at = this.#changing.has(tag) ? index : -1; at >= 0; at--) {
      const own = this.segments[at]!.changes?.get(tag);
      if (own !== undefined) return own ?? undefined;
    }
    return this.tagsBefore.get(tag);
  }

  #record(segment: Segment, tag: Tag, state: State, before: State): void {
    const known = segment.changes?.has(tag) === true;
    const differs = state?.count !== before?.count || state?.since !== before?.since;
    if (!differs && !known) return;
    this.isDirty = true;
    if (differs) {
      segment.changes ??= new Map();
      segment.changes.set(tag, state ?? null);
      if (!known) this.#countChange(tag, 1);
    } else {
      segment.changes!.delete(tag);
      if (segment.changes!.size === 0) segment.changes = null;
      this.#countChange(tag, -1);
    }
  }

  #countChanges({ changes }: Segment, by: number): void {
    for (const tag of changes?.keys() ?? []) this.#countChange(tag, by);
  }

  #countChange(tag: Tag, by: number): void {
    const count = (this.#changing.get(tag) ?? 0) + by;
    if (count > 0) this.#changing.set(tag, count);
    else this.#changing.delete(tag);
  }

  #look() {
    this.#facts ??= {
      least: Math.min(...this.segments.map(({ count }) => count)),
      anyRuns: this.segments.some(({ runs }) => runs),
    };
    return this.#facts;
  }
}

/** Index of the first of some runs of pages, ascending, that does not end before a page. */
export function indexOfPage(runs: readonly { readonly last: number }[], page: number): number {
  return partitionPoint(runs.length, (index) => runs[index]!.last < page);
}
