/** A bitmap of page frames in a file, a bit for each, of which a few blocks are held. */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import type { DumpBytes } from '../dump-bytes.ts';

/** Frames that one block of the bitmap speaks for: 128 MiB of memory. */
export const BLOCK_FRAMES = PAGE_BYTES * 8;
const BLOCK_WORDS = PAGE_BYTES / 4;

/** What a scan reads at once. */
const SCAN_BYTES = 64 * PAGE_BYTES;
const NO_FRAMES = Buffer.alloc(PAGE_BYTES);

/** Blocks held: those of 32 GiB of memory, in 1 MiB. */
const MAX_BLOCKS = 256;

export class FrameBitmap {
  readonly #bytes: DumpBytes;
  readonly #position: number;
  readonly #frameCount: number;
  /** Oldest first. */
  readonly #blocks = new Map<number, Uint32Array>();

  constructor(bytes: DumpBytes, position: number, frameCount: number) {
    this.#bytes = bytes;
    this.#position = position;
    this.#frameCount = frameCount;
  }

  get blockCount(): number {
    return Math.ceil(this.#frameCount / BLOCK_FRAMES);
  }

  has(gfn: number): boolean {
    if (gfn >= this.#frameCount) return false;
    const bit = gfn % BLOCK_FRAMES;
    return ((this.block(Math.floor(gfn / BLOCK_FRAMES))[bit >>> 5]! >>> (bit & 31)) & 1) === 1;
  }

  /** Bits that are set in the block of `gfn` before its own. */
  countBefore(gfn: number): number {
    const block = this.block(Math.floor(gfn / BLOCK_FRAMES));
    const bit = gfn % BLOCK_FRAMES;
    const last = bit >>> 5;
    let count = 0;
    for (let word = 0; word < last; word++) count += bitCount(block[word]!);
    return count + bitCount(block[last]! & ~(-1 << (bit & 31)));
  }

  /** The words of a block; bits beyond the last frame are 0. @throws PtmonError */
  block(index: number): Uint32Array {
    const known = this.#blocks.get(index);
    if (known !== undefined) return known;
    const words = new Uint32Array(BLOCK_WORDS);
    this.#bytes.read(new Uint8Array(words.buffer), this.#position + index * PAGE_BYTES);
    clearBeyond(words, this.#frameCount - index * BLOCK_FRAMES);
    if (this.#blocks.size >= MAX_BLOCKS) {
      const [oldest] = this.#blocks.keys();
      this.#blocks.delete(oldest!);
    }
    this.#blocks.set(index, words);
    return words;
  }
}

/** A bitmap from its beginning to its end: the words of each block that has any bit, in a buffer that is used again. */
export class BitmapScan {
  readonly #bytes: DumpBytes;
  readonly #position: number;
  readonly #frameCount: number;
  readonly #byteLength: number;
  readonly #chunk = Buffer.from(new ArrayBuffer(SCAN_BYTES));
  #first = -SCAN_BYTES;

  constructor(bytes: DumpBytes, position: number, frameCount: number) {
    this.#bytes = bytes;
    this.#position = position;
    this.#frameCount = frameCount;
    this.#byteLength = Math.ceil(frameCount / BLOCK_FRAMES) * PAGE_BYTES;
  }

  /** To be asked for in ascending order. Undefined where no bit is set, as in the holes of memory. @throws PtmonError */
  block(index: number): Uint32Array | undefined {
    const at = index * PAGE_BYTES;
    if (at >= this.#first + SCAN_BYTES) {
      this.#first = at;
      const byteLength = Math.min(SCAN_BYTES, this.#byteLength - at);
      this.#bytes.read(this.#chunk.subarray(0, byteLength), this.#position + at);
    }
    const offset = at - this.#first;
    if (this.#chunk.compare(NO_FRAMES, 0, PAGE_BYTES, offset, offset + PAGE_BYTES) === 0) return undefined;
    const words = new Uint32Array(this.#chunk.buffer, offset, BLOCK_WORDS);
    clearBeyond(words, this.#frameCount - index * BLOCK_FRAMES);
    return words;
  }
}

/** Clears the bits of a block behind its last frame. */
function clearBeyond(words: Uint32Array, frames: number): void {
  if (frames >= BLOCK_FRAMES) return;
  words.fill(0, Math.ceil(frames / 32));
  if (frames % 32 !== 0) words[frames >>> 5]! &= ~(-1 << (frames & 31));
}

export function countBits(words: Uint32Array): number {
  let count = 0;
  for (const word of words) count += bitCount(word);
  return count;
}

/** Bits that are set in a 32-bit word (Warren, Hacker's Delight, 5-1). */
function bitCount(word: number): number {
  let sum = word - ((word >>> 1) & 0x55555555);
  sum = (sum & 0x33333333) + ((sum >>> 2) & 0x33333333);
  return Math.imul((sum + (sum >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
