/**
 * Which frames a kdump has, and where their descriptors are: that of a frame is as far down the list as there are frames in the file
 * before it. Counted once, block by block of the bitmap: 8 bytes are kept for each 128 MiB of memory.
 */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { type LongWorkOptions, Pacer } from '../../../driver/pacer.ts';
import type { RamRegion } from '../../ramfile/index.ts';
import { type DumpBytes, expectInside } from '../dump-bytes.ts';
import { DumpRegions } from '../dump-regions.ts';
import { BitmapScan, BLOCK_FRAMES, countBits, FrameBitmap } from './frame-bitmap.ts';
import { DUMP_WITHOUT_ZEROES, type KdumpHeader } from './kdump-header.ts';

export const DESCRIPTOR_BYTES = 24;

export class PageIndex {
  readonly #inFile: FrameBitmap;
  readonly #before: Float64Array;
  /** What can be read: position and physical address are the same. */
  readonly regions: readonly RamRegion[];

  private constructor(inFile: FrameBitmap, before: Float64Array, regions: readonly RamRegion[]) {
    this.#inFile = inFile;
    this.#before = before;
    this.regions = regions;
  }

  /** @throws PtmonError `corrupt-input`; the reason of the signal when it is aborted */
  static async build(bytes: DumpBytes, header: KdumpHeader, options: LongWorkOptions): Promise<PageIndex> {
    const { frameCount, fileBitmap, ramBitmap } = header;
    const inFile = new FrameBitmap(bytes, fileBitmap, frameCount);
    const [files, ram] = [fileBitmap, ramBitmap].map((position) => new BitmapScan(bytes, position, frameCount)) as [
      BitmapScan,
      BitmapScan,
    ];
    const withoutZeroes = (header.dumpLevel & DUMP_WITHOUT_ZEROES) !== 0;
    const before = new Float64Array(inFile.blockCount + 1);
    const regions = new DumpRegions(bytes.name);
    const pacer = new Pacer(options);
    for (let index = 0; index < inFile.blockCount; index++) {
      const first = index * BLOCK_FRAMES;
      if (pacer.isDue) await pacer.turn({ what: 'counting pages', done: first, total: frameCount, unit: 'pages' });
      const block = files.block(index);
      before[index + 1] = before[index]! + (block === undefined ? 0 : countBits(block));
      const there = withoutZeroes ? ram.block(index) : block;
      if (there !== undefined) addRuns(regions, there, first, ramBitmap + index * PAGE_BYTES);
    }
    const total = before[inFile.blockCount]!;
    expectInside(bytes, header.descriptors, total * DESCRIPTOR_BYTES, `the descriptors of ${total} pages`);
    return new PageIndex(inFile, before, regions.list());
  }

  /** The place of the frame's descriptor among all; undefined where the frame is not in the file. */
  find(gfn: number): number | undefined {
    if (!this.#inFile.has(gfn)) return undefined;
    return this.#before[Math.floor(gfn / BLOCK_FRAMES)]! + this.#inFile.countBefore(gfn);
  }
}

function addRuns(regions: DumpRegions, block: Uint32Array, firstGfn: number, offset: number): void {
  const add = (first: number, end: number) => {
    const pa = (firstGfn + first) * PAGE_BYTES;
    regions.add({ pa, byteLength: (end - first) * PAGE_BYTES, position: pa }, offset);
  };
  for (let word = 0; word < block.length; word++) {
    const bits = block[word]!;
    if (bits === 0) continue;
    const first = word * 32;
    if (bits === 0xffffffff) {
      add(first, first + 32);
      continue;
    }
    for (let bit = 0; bit < 32; bit++) if ((bits >>> bit) & 1) add(first + bit, first + bit + 1);
  }
}
