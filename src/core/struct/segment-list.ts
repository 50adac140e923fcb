/** The segments of a `RangeSet` in chunks, from page 0 on. No chunk where no page has a reference: most address spaces have no ranges. */
import type { GivenTag, Tag } from './references.ts';
import { Chunk, indexOfPage, Segment } from './segment-chunk.ts';

/** Segments of a chunk at most; a longer one is halved. */
const CHUNK = 512;

/** Beyond the last page. */
const END = Number.MAX_SAFE_INTEGER;

export class SegmentList {
  readonly #chunks: Chunk[] = [];

  get isEmpty(): boolean {
    return this.#chunks.length === 0;
  }

  /** Those with references. */
  *[Symbol.iterator](): Generator<Segment> {
    for (const chunk of this.#chunks) {
      chunk.settle();
      yield* chunk.segments.filter(({ count }) => count > 0);
    }
  }

  chunkAt(position: number): Chunk | undefined {
    return this.#chunks[position];
  }

  /** The position of the chunk that contains a page. */
  positionOf(page: number): number {
    return indexOfPage(this.#chunks, page);
  }

  /** The chunks with a page from `first` to `last`. */
  *between(first: number, last: number): Generator<Chunk> {
    for (let at = this.positionOf(first); at < this.#chunks.length && this.#chunks[at]!.first <= last; at++) {
      yield this.#chunks[at]!;
    }
  }

  /** Makes sure that a segment begins at a page. Returns whether none did. */
  splitAt(page: number): boolean {
    if (this.isEmpty) {
      const chunk = new Chunk();
      chunk.segments.push(new Segment(chunk, 0, END));
      this.#chunks.push(chunk);
    }
    const at = this.positionOf(page);
    const chunk = this.#chunks[at]!;
    chunk.isDirty = true;
    const index = chunk.indexOf(page);
    const segment = chunk.segments[index]!;
    if (segment.first === page) return false;
    const rest = new Segment(chunk, page, segment.last);
    chunk.open().splice(index + 1, 0, rest);
    [rest.count, rest.runs] = [segment.count, segment.runs];
    segment.last = page - 1;
    if (chunk.segments.length > CHUNK) this.#chunks.splice(at + 1, 0, chunk.cut(CHUNK / 2));
    return true;
  }

  /** Changes what the pages from `first` to `last` have of a tag. Segments begin at `first` and at `last + 1`. */
  changeTag(
    tag: Tag,
    first: number,
    last: number,
    change: (state: GivenTag | undefined) => GivenTag | undefined,
  ): void {
    for (const chunk of this.between(first, last + 1)) chunk.changeTag(tag, first, last, change);
  }

  /** Drops a segment whose pages the one before it has got. Both have the same tags. */
  drop(position: number, index: number): void {
    const { segments } = this.#chunks[position]!;
    segments.splice(index, 1);
    if (segments.length === 0) this.#chunks.splice(position, 1);
  }

  /** Makes one chunk of two that are short. Returns whether it did. */
  unite(position: number): boolean {
    const [chunk, next] = [this.#chunks[position]!, this.#chunks[position + 1]];
    if (next === undefined || chunk.segments.length + next.segments.length > CHUNK / 2) return false;
    chunk.append(next);
    this.#chunks.splice(position + 1, 1);
    return true;
  }

  /** To be called after neighbours were joined: drops everything where no page has a reference. */
  dropEmpty(): void {
    const [only] = this.#chunks;
    if (this.#chunks.length === 1 && only!.segments.length === 1 && only!.countOf(only!.segments[0]!) === 0) {
      this.#chunks.pop();
    }
  }
}
