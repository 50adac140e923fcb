/**
 * Pages of a memory that is elsewhere, put here by whoever fetches them, and good until the guest runs on.
 *
 * The bound is meant for pages nobody comes back to, such as the tables of an address space that is being enumerated. A
 * round that is run again until everything it needs is here (`not-fetched`, fetch, again) may need more pages than the
 * bound; a cache that insisted would drop the first while the last arrive, and the round would never end. So when a page is
 * asked for that was dropped, the bound is doubled until the next `clear`: every round ends, and memory beyond the bound is
 * taken only by rounds that cannot do without (at most four times the pages that they need).
 *
 * Least recently used, by the simplest means: two maps. What is used goes to the young one; when that holds half the bound,
 * it becomes the old one, and what was in the old one is dropped. So the half of the bound used last is always here.
 */
import { frameOffsetOf, gfnOf, PAGE_BYTES } from '../address/pa.ts';
import { hex } from '../address/va.ts';
import { PtmonError } from '../error.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_NOT_FETCHED, READ_OK, type ReadOutcome } from './physical-memory.ts';

/** Null where there is no memory. */
type CachedPage = Uint32Array | null;

export interface PageCacheOptions {
  /** Pages held at most while no round needs more; 4096 (16 MiB) unless told. At least 2. */
  readonly maxPages?: number;
}

export class PageCache implements PhysicalMemory {
  readonly #maxPages: number;
  #limit: number;
  #young = new Map<number, CachedPage>();
  #old = new Map<number, CachedPage>();
  readonly #dropped = new Set<number>();
  // The page read last: entries are read in runs.
  #lastGfn = -1;
  #last: CachedPage = null;

  /** @throws PtmonError `bad-argument` */
  constructor(options: PageCacheOptions = {}) {
    const maxPages = options.maxPages ?? 4096;
    if (!Number.isSafeInteger(maxPages) || maxPages < 2) {
      throw new PtmonError('bad-argument', `a cache of ${maxPages} pages is not one of at least 2`);
    }
    this.#maxPages = maxPages;
    this.#limit = maxPages;
  }

  /** Pages held now. */
  get pageCount(): number {
    return this.#young.size + this.#old.size;
  }

  /** Pages held at most until the next `clear`: `maxPages`, or more since a round needed more. */
  get limit(): number {
    return this.#limit;
  }

  /**
   * Makes frame `gfn` readable.
   *
   * @param bytes its 4096 bytes, copied; null when the frame is not RAM
   * @throws PtmonError `bad-argument` for any other length
   */
  put(gfn: number, bytes: Uint8Array | null): void {
    if (bytes !== null && bytes.byteLength !== PAGE_BYTES) {
      throw new PtmonError('bad-argument', `frame ${hex(gfn)} was given ${bytes.byteLength} bytes, not ${PAGE_BYTES}`, {
        gfn,
      });
    }
    this.#young.delete(gfn);
    this.#old.delete(gfn);
    this.#keep(gfn, bytes === null ? null : wordsOf(bytes));
  }

  /** Forgets everything: the guest runs on, and no page can be trusted any more. */
  clear(): void {
    this.#young.clear();
    this.#old.clear();
    this.#dropped.clear();
    this.#limit = this.#maxPages;
    this.#lastGfn = -1;
  }

  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    const gfn = gfnOf(pa);
    if (gfn !== this.#lastGfn) {
      const page = this.#find(gfn);
      if (page === undefined) return READ_NOT_FETCHED;
      this.#lastGfn = gfn;
      this.#last = page;
    }
    if (this.#last === null) return READ_NO_MEMORY;
    const word = frameOffsetOf(pa) >>> 2;
    out[0] = this.#last[word]!;
    out[1] = byteLength === 8 ? this.#last[word + 1]! : 0;
    return READ_OK;
  }

  #find(gfn: number): CachedPage | undefined {
    const page = this.#young.get(gfn);
    if (page !== undefined) return page;
    const old = this.#old.get(gfn);
    if (old !== undefined) {
      this.#old.delete(gfn);
      this.#keep(gfn, old);
    } else if (this.#dropped.has(gfn)) {
      this.#limit *= 2;
      // Its companions will be asked for in this same round: that is one shortage, not many.
      this.#dropped.clear();
    }
    return old;
  }

  #keep(gfn: number, page: CachedPage): void {
    if (this.#young.size >= Math.floor(this.#limit / 2)) {
      for (const dropped of this.#old.keys()) this.#dropped.add(dropped);
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(gfn, page);
    this.#dropped.delete(gfn);
    this.#lastGfn = -1;
  }
}

/** A copy: the fetcher's buffer may be reused, and may not be aligned. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const words = new Uint32Array(PAGE_BYTES / 4);
  new Uint8Array(words.buffer).set(bytes);
  return words;
}
