/**
 * The segments of a `RangeSet` in chunks, each with what its segments have in common. A call that adds or releases a reference of many
 * segments, such as the inner ones of nested ranges, does that once for each chunk:
 *
 *      chunk      shared: +1 'a'                    shared: nothing
 *      segments   [0-3] 'x'  [4-4] 'x' 'y'          [5-9]   [12-12]
 *      in effect  [0-3] 'x' 'a'  [4-4] 'x' 'y' 'a'  as they are
 *
 * A chunk is *settled* once its segments have the common references themselves. Code that looks at segments settles their chunk first.
 */
import { References, type Tag } from './references.ts';

/** Segments of a chunk at most; a longer one is halved. */
const CHUNK = 128;

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

export class Chunk {
  /** Ascending, at least one. */
  segments: Segment[];
  readonly #shared = new References();
  /** What is true of the segments as they are; null until it is asked. */
  #facts: { readonly least: number; readonly isGapless: boolean; readonly anyRuns: boolean } | null = null;
  /** Whether segments have changed one by one since neighbours were joined. */
  isDirty = false;

  constructor(segments: Segment[]) {
    this.segments = segments;
  }

  get first(): number {
    return this.segments[0]!.first;
  }

  get last(): number {
    return this.segments.at(-1)!.last;
  }

  /** Its segments with all their references, about to change one by one. */
  open(): Segment[] {
    this.settle();
    this.#facts = null;
    this.isDirty = true;
    return this.segments;
  }

  settle(): void {
    if (this.#shared.isUntouched) return;
    for (const { references } of this.segments) references.addAll(this.#shared);
    this.#shared.clear();
    this.#facts = null;
  }

  /** Adds one reference to all of its segments at once. Returns whether it could: there must be no gap between them. */
  addToAll(tag: Tag | undefined, turn: number, runs: boolean): boolean {
    const { isGapless, anyRuns } = this.#look();
    if (!isGapless || (!runs && anyRuns)) return false;
    this.#shared.add(tag, turn);
    return true;
  }

  /** Releases one reference of all of its segments at once. Returns whether it could: each must have that, and another one. */
  releaseOfAll(tag: Tag | undefined): boolean {
    if (this.#look().least + this.#shared.count < 2) return false;
    return this.#shared.release(tag);
  }

  /** Whether any segment with a page from `first` to `last` has a tag. */
  hasTag(tag: Tag, first: number, last: number): boolean {
    if (this.#shared.has(tag)) return true;
    return this.segments.some((each) => each.first <= last && each.last >= first && each.references.has(tag));
  }

  #look() {
    if (this.#facts === null) {
      const { segments } = this;
      const pages = segments.reduce((sum, { first, last }) => sum + last - first + 1, 0);
      this.#facts = {
        least: Math.min(...segments.map(({ references }) => references.count)),
        isGapless: pages === this.last - this.first + 1,
        anyRuns: segments.some(({ runs }) => runs),
      };
    }
    return this.#facts;
  }
}

export class SegmentList {
  #chunks: Chunk[] = [];

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  *[Symbol.iterator](): Generator<Segment> {
    for (const chunk of this.#chunks) {
      chunk.settle();
      yield* chunk.segments;
    }
  }

  /** The chunk at a position. */
  chunkAt(position: number): Chunk | undefined {
    return this.#chunks[position];
  }

  /** The position of the first chunk that does not end before a page. */
  positionOf(page: number): number {
    const chunks = this.#chunks;
    let low = 0;
    let high = chunks.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (chunks[middle]!.last < page) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Adds a segment that lies before the chunk at `position`. */
  insertBefore(position: number, segment: Segment): void {
    const before = this.#chunks[position - 1];
    if (before === undefined) {
      this.#chunks.splice(position, 0, new Chunk([segment]));
      return;
    }
    before.open().push(segment);
    this.fit(position - 1);
  }

  /** To be called after the segments of a chunk have changed: halves a long chunk, drops an empty one. Returns how many there are. */
  fit(position: number): number {
    const { segments } = this.#chunks[position]!;
    if (segments.length === 0) {
      this.#chunks.splice(position, 1);
      return 0;
    }
    if (segments.length <= CHUNK) return 1;
    const half = new Chunk(segments.splice(CHUNK / 2));
    half.isDirty = true;
    this.#chunks.splice(position + 1, 0, half);
    return 1 + this.fit(position + 1);
  }

  /** Makes one chunk of two that are short. Returns whether it did. */
  unite(position: number): boolean {
    const [chunk, next] = [this.#chunks[position]!, this.#chunks[position + 1]];
    if (next === undefined || chunk.segments.length + next.segments.length > CHUNK / 2) return false;
    chunk.open().push(...next.open());
    this.#chunks.splice(position + 1, 1);
    return true;
  }
}

/** The index of the first segment that does not end before a page. */
export function indexOf(segments: readonly Segment[], page: number): number {
  let low = 0;
  let high = segments.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (segments[middle]!.last < page) low = middle + 1;
    else high = middle;
  }
  return low;
}
