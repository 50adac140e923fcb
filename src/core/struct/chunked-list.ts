/** A long list that elements are inserted into and removed from anywhere: in chunks, so that each such call moves few of them. */

/** Elements of a chunk at most; a chunk that grows beyond is halved. */
const CHUNK = 512;

export class ChunkedList<T> {
  #chunks: T[][] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** The element at `index`; undefined beyond the end. */
  at(index: number): T | undefined {
    let rest = index;
    for (const chunk of this.#chunks) {
      if (rest < chunk.length) return chunk[rest];
      rest -= chunk.length;
    }
    return undefined;
  }

  *[Symbol.iterator](): Generator<T> {
    for (const chunk of this.#chunks) yield* chunk;
  }

  /** The index of the first element for which `isBefore` is false; it must be true for those before it, and false after. */
  lowerBound(isBefore: (element: T) => boolean): number {
    let index = 0;
    let found = 0;
    while (found < this.#chunks.length && isBefore(this.#chunks[found]!.at(-1)!)) {
      index += this.#chunks[found]!.length;
      found++;
    }
    const chunk = this.#chunks[found];
    if (chunk === undefined) return index;
    let low = 0;
    let high = chunk.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBefore(chunk[middle]!)) low = middle + 1;
      else high = middle;
    }
    return index + low;
  }

  /** Replaces `count` elements from `index` on. */
  replace(index: number, count: number, by: readonly T[]): void {
    for (let left = count; left > 0; ) left -= this.#removeFromChunk(index, left);
    for (const [offset, element] of by.entries()) this.#insert(index + offset, element);
  }

  /** Returns how many it removed. */
  #removeFromChunk(index: number, count: number): number {
    const [at, offset] = this.#locate(index);
    const chunk = this.#chunks[at]!;
    const removed = Math.min(count, chunk.length - offset);
    chunk.splice(offset, removed);
    if (chunk.length === 0) this.#chunks.splice(at, 1);
    this.#length -= removed;
    return removed;
  }

  #insert(index: number, element: T): void {
    if (this.#chunks.length === 0) this.#chunks.push([]);
    const [at, offset] = this.#locate(index);
    const chunk = this.#chunks[at]!;
    chunk.splice(offset, 0, element);
    if (chunk.length > CHUNK) this.#chunks.splice(at + 1, 0, chunk.splice(CHUNK / 2));
    this.#length++;
  }

  /** The chunk and the offset in it; of the end of the list, behind the last element. */
  #locate(index: number): [chunk: number, offset: number] {
    let rest = index;
    let at = 0;
    while (rest >= this.#chunks[at]!.length && at + 1 < this.#chunks.length) {
      rest -= this.#chunks[at]!.length;
      at++;
    }
    return [at, rest];
  }
}
