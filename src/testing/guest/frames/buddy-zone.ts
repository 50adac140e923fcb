/**
 * A buddy allocator over one zone of frames. Knuth, The Art of Computer Programming vol. 1, 2.5; the kernel's
 * mm/page_alloc.c: free blocks of 2^order aligned frames, one list for each order, last freed first.
 */

/** Largest block: 2^10 frames, a legacy 4 MiB page. */
export const MAX_ORDER = 10;

const NONE = -1;

export class BuddyZone {
  readonly #base: number;
  /** By frame: the order of the free block that begins with it, or NONE. */
  readonly #order: Int8Array;
  readonly #next: Int32Array;
  readonly #previous: Int32Array;
  readonly #heads = new Int32Array(MAX_ORDER + 1).fill(NONE);
  #free = 0;

  /** `base` must be a multiple of the largest block. No frame is free yet. */
  constructor(base: number, frames: number) {
    this.#base = base;
    this.#order = new Int8Array(frames).fill(NONE);
    this.#next = new Int32Array(frames).fill(NONE);
    this.#previous = new Int32Array(frames).fill(NONE);
  }

  /** Frames in free blocks. */
  get free(): number {
    return this.#free;
  }

  /** First frame of a block of 2^order frames, aligned to its size; -1 when there is none. */
  take(order: number): number {
    let found = order;
    while (found <= MAX_ORDER && this.#heads[found] === NONE) found++;
    if (found > MAX_ORDER) return NONE;
    const index = this.#heads[found]!;
    this.#unlink(index, found);
    // The upper half of each block that is too large goes back.
    while (found > order) {
      found--;
      this.#link(index + 2 ** found, found);
    }
    this.#free -= 2 ** order;
    return this.#base + index;
  }

  /** Gives a block back, and merges it with its buddy for as long as that is free too. */
  give(gfn: number, order: number): void {
    let index = gfn - this.#base;
    let size = order;
    this.#free += 2 ** order;
    while (size < MAX_ORDER) {
      const buddy = index ^ (2 ** size);
      if (this.#order[buddy] !== size) break;
      this.#unlink(buddy, size);
      index &= ~(2 ** size);
      size++;
    }
    this.#link(index, size);
  }

  #link(index: number, order: number): void {
    const head = this.#heads[order]!;
    this.#order[index] = order;
    this.#next[index] = head;
    this.#previous[index] = NONE;
    if (head !== NONE) this.#previous[head] = index;
    this.#heads[order] = index;
  }

  #unlink(index: number, order: number): void {
    const next = this.#next[index]!;
    const previous = this.#previous[index]!;
    this.#order[index] = NONE;
    if (next !== NONE) this.#previous[next] = previous;
    if (previous === NONE) this.#heads[order] = next;
    else this.#next[previous] = next;
  }
}
