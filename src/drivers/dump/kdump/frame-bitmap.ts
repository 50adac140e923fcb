/** A bitmap of page frames in a file, a bit for each, of which a few blocks are held. */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import type { DumpBytes } from '../dump-bytes.ts';

/** Frames that one block of the bitmap speaks for: 128 MiB of memory. */
export const BLOCK_FRAMES = PAGE_BYTES * 8;
const BLOCK_WORDS = PAGE_BYTES / 4;

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
    const frames = this.#frameCount - index * BLOCK_FRAMES;
    if (frames < BLOCK_FRAMES) {
      words.fill(0, Math.ceil(frames / 32));
      if (frames % 32 !== 0) words[frames >>> 5]! &= ~(-1 << (frames & 31));
    }
    if (this.#blocks.size >= MAX_BLOCKS) {
      const [oldest] = this.#blocks.keys();
      this.#blocks.delete(oldest!);
    }
    this.#blocks.set(index, words);
    return words;
  }
}

/** Bits that are set in a 32-bit word (Warren, Hacker's Delight, 5-1). */
export function bitCount(word: number): number {
  let sum = word - ((word >>> 1) & 0x55555555);
  sum = (sum & 0x33333333) + ((sum >>> 2) & 0x33333333);
  return Math.imul((sum + (sum >>> 4)) & 0x0f0f0f0f, 0x01010101) >>> 24;
}
