/**
 * Pages of a remote memory, put here by the code that fetches them, and valid until the guest resumes.
 *
 * The bound is meant for pages that are read once, such as the tables of an address space that is being enumerated. A
 * round that is repeated until everything it needs is here (`not-fetched`, fetch, again) may need more pages than the
 * bound; a cache that insisted would drop the first while the last arrive, and the round would never end. So when a page is
 * asked for that was dropped, the bound is doubled until the next `clear`. Every round ends, and memory beyond the bound is
 * taken only where pages are come back to, and then for less than twice the pages that were asked for.
 */
import { frameOffsetOf, gfnOf, PAGE_BYTES } from '../address/pa.ts';
import { hex } from '../address/va.ts';
import { PtmonError } from '../error.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_NOT_FETCHED, READ_OK, type ReadOutcome } from './physical-memory.ts';

/** Null where there is no memory. */
type CachedPage = Uint32Array | null;

export interface PageCacheOptions {
  /** Pages kept at most while no round needs more; at least 1. Defaults to 4096 (16 MiB). */
  readonly maxPages?: number;
}

export class PageCache implements PhysicalMemory {
  readonly #maxPages: number;
  #limit: number;
  /** Least recently used first: a map keeps the order of insertion. */
  readonly #pages = new Map<number, CachedPage>();
  readonly #dropped = new Set<number>();
  // The page read last: entries are read in runs.
  #lastGfn = -1;
  #last: CachedPage = null;

  /** @throws PtmonError `bad-argument` */
  constructor(options: PageCacheOptions = {}) {
    const maxPages = options.maxPages ?? 4096;
    if (!Number.isSafeInteger(maxPages) || maxPages < 1) {
      throw new PtmonError('bad-argument', `maxPages ${maxPages} is not a positive integer`);
    }
    this.#maxPages = maxPages;
    this.#limit = maxPages;
  }

  /** Pages in the cache now. */
  get pageCount(): number {
    return this.#pages.size;
  }

  /** Pages kept at most until the next `clear`: `maxPages`, or more since a round needed more. */
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
      throw new PtmonError('bad-argument', `frame ${hex(gfn)} got ${bytes.byteLength} bytes, not ${PAGE_BYTES}`, {
        gfn,
      });
    }
    this.#keep(gfn, bytes === null ? null : wordsOf(bytes));
  }

  /** Drops everything: the guest resumes, and its pages may change. */
  clear(): void {
    this.#pages.clear();
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
    const page = this.#pages.get(gfn);
    if (page !== undefined) {
      this.#keep(gfn, page);
    } else if (this.#dropped.has(gfn)) {
      this.#limit *= 2;
      // The round will ask for the other dropped pages as well: that is one shortage, not many.
      this.#dropped.clear();
    }
    return page;
  }

  #keep(gfn: number, page: CachedPage): void {
    this.#lastGfn = -1;
    this.#pages.delete(gfn);
    this.#pages.set(gfn, page);
    this.#dropped.delete(gfn);
    if (this.#pages.size <= this.#limit) return;
    const [oldest] = this.#pages.keys();
    this.#pages.delete(oldest!);
    this.#dropped.add(oldest!);
  }
}

/** A copy: the fetcher's buffer may be reused, and may not be aligned. */
function wordsOf(bytes: Uint8Array): Uint32Array {
  const words = new Uint32Array(PAGE_BYTES / 4);
  new Uint8Array(words.buffer).set(bytes);
  return words;
}
