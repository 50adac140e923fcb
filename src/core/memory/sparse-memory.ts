/** Physical memory that exists where it was written to: for tests, simulators and traces. */
import { gfnOf, PAGE_BYTES } from '../address/pa.ts';
import { PtmonError } from '../error.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_OK, type ReadOutcome } from './physical-memory.ts';

const PAGE_WORDS = PAGE_BYTES / 4;

export class SparseMemory implements PhysicalMemory {
  readonly #pages = new Map<number, Uint32Array>();
  // The page read last: entries are read in runs, and a hit saves the look-up (70 ns among 65 k pages).
  #lastGfn = -1;
  #last: Uint32Array | undefined;

  /** Makes `gfn` RAM, zeroed, unless it is already. */
  addPage(gfn: number): Uint32Array {
    let page = this.page(gfn);
    if (page === undefined) {
      page = new Uint32Array(PAGE_WORDS);
      this.#pages.set(gfn, page);
      this.#lastGfn = -1;
    }
    return page;
  }

  /** Makes `gfn` no memory at all. */
  removePage(gfn: number): void {
    this.#pages.delete(gfn);
    this.#lastGfn = -1;
  }

  /** The 1,024 words of a frame, live; undefined where there is no RAM. */
  page(gfn: number): Uint32Array | undefined {
    if (gfn !== this.#lastGfn) {
      this.#last = this.#pages.get(gfn);
      this.#lastGfn = gfn;
    }
    return this.#last;
  }

  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    const page = this.page(gfnOf(pa));
    if (page === undefined) return READ_NO_MEMORY;
    const word = (pa % PAGE_BYTES) >>> 2;
    out[0] = page[word]!;
    out[1] = byteLength === 8 ? page[word + 1]! : 0;
    return READ_OK;
  }

  /** Writes any bytes anywhere; the frames that they touch must be RAM. @throws PtmonError `bad-argument` */
  write(pa: number, bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    for (let gfn = gfnOf(pa); gfn * PAGE_BYTES < pa + bytes.length; gfn++) {
      if (this.page(gfn) !== undefined) continue;
      const at = Math.max(pa, gfn * PAGE_BYTES);
      throw new PtmonError('bad-argument', `write to 0x${at.toString(16)}, which is not RAM`, { gfn });
    }
    for (let done = 0; done < bytes.length; ) {
      const at = pa + done;
      const page = this.page(gfnOf(at))!;
      const offset = at % PAGE_BYTES;
      const part = bytes.subarray(done, done + PAGE_BYTES - offset);
      new Uint8Array(page.buffer, page.byteOffset, PAGE_BYTES).set(part, offset);
      done += part.length;
    }
  }

  /** Writes one 64-bit value, 8-byte aligned. */
  writeU64(pa: number, lo: number, hi: number): void {
    const page = this.addPage(gfnOf(pa));
    const word = (pa % PAGE_BYTES) >>> 2;
    page[word] = lo;
    page[word + 1] = hi;
  }

  /** Writes one 32-bit value, 4-byte aligned. */
  writeU32(pa: number, value: number): void {
    this.addPage(gfnOf(pa))[(pa % PAGE_BYTES) >>> 2] = value;
  }
}
