/**
 * The guest's tables as one array, and their permissions as another, so that what is measured is the engine: reading an
 * entry costs a subtraction, a comparison and the cache miss that any memory would have. `npm run bench` prints what it is.
 */
import { PAGE_BYTES } from '../src/core/address/pa.ts';
import { ACCESS_ALL, type PageProtection } from '../src/core/memory/page-access.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_OK, type ReadOutcome } from '../src/core/memory/physical-memory.ts';

export class FlatMemory implements PhysicalMemory, PageProtection {
  /** Physical address of the first byte. */
  readonly base: number;
  /** The content, live: the word of `pa` is `(pa - base) / 4`. */
  readonly words: Uint32Array;
  readonly #access: Uint8Array;
  readonly #baseGfn: number;

  constructor(baseGfn: number, frames: number) {
    this.#baseGfn = baseGfn;
    this.base = baseGfn * PAGE_BYTES;
    this.words = new Uint32Array((frames * PAGE_BYTES) / 4);
    this.#access = new Uint8Array(frames).fill(ACCESS_ALL);
  }

  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    const word = (pa - this.base) / 4;
    if (word < 0 || word >= this.words.length) return READ_NO_MEMORY;
    out[0] = this.words[word]!;
    out[1] = byteLength === 8 ? this.words[word + 1]! : 0;
    return READ_OK;
  }

  /** Changes bits of the low word of an entry. */
  toggle(pa: number, bits: number): void {
    const word = (pa - this.base) / 4;
    this.words[word] = this.words[word]! ^ bits;
  }

  /** There is one view; frames outside this memory are not asked for. */
  getAccess(_view: number, gfn: number): number {
    return this.#access[gfn - this.#baseGfn]!;
  }

  setAccess(_view: number, gfn: number, access: number): void {
    this.#access[gfn - this.#baseGfn] = access;
  }
}
