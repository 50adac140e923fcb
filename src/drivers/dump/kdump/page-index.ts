/**
 * Which frames a kdump has, and where their descriptors are: that of a frame is as far down the list as there are frames in the file
 * before it. Counted once, block by block of the bitmap: 8 bytes are kept for each 128 MiB of memory.
 */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { type LongWorkOptions, Pacer } from '../../../driver/pacer.ts';
import type { RamRegion } from '../../ramfile/index.ts';
import { corrupt, type DumpBytes } from '../dump-bytes.ts';
import { DumpRegions } from '../dump-regions.ts';
import { CutPages } from './cut-pages.ts';
import { BitmapScan, BLOCK_FRAMES, countBits, FrameBitmap } from './frame-bitmap.ts';
import { DUMP_WITHOUT_ZEROES, type KdumpHeader } from './kdump-header.ts';

export class PageIndex {
  readonly #inFile: FrameBitmap;
  readonly #before: Float64Array;
  /** What can be read: position and physical address are the same. */
  readonly regions: readonly RamRegion[];
  /** Pages that the bitmap names and the file does not have. */
  readonly missing: readonly RamRegion[];
  /** What is missing, a sentence each. */
  readonly warnings: readonly string[];

  private constructor(inFile: FrameBitmap, before: Float64Array, { regions, missing, missingPages }: Readable) {
    this.#inFile = inFile;
    this.#before = before;
    this.regions = regions;
    this.missing = missing;
    this.warnings =
      missingPages === 0 ? [] : [`the dump is incomplete or truncated: ${missingPages} of its pages are missing`];
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
    if (!CutPages.areLikely(bytes, header, total))
      return new PageIndex(inFile, before, { regions: regions.list(), missing: [], missingPages: 0 });
    return new PageIndex(inFile, before, await withoutMissing(bytes, header, total, options));
  }

  /** The place of the frame's descriptor among all; undefined where the frame is not in the file. */
  find(gfn: number): number | undefined {
    if (!this.#inFile.has(gfn)) return undefined;
    return this.#before[Math.floor(gfn / BLOCK_FRAMES)]! + this.#inFile.countBefore(gfn);
  }
}

interface Readable {
  readonly regions: readonly RamRegion[];
  readonly missing: readonly RamRegion[];
  readonly missingPages: number;
}

/** Looks at every descriptor. @throws as `PageIndex.build` */
async function withoutMissing(
  bytes: DumpBytes,
  header: KdumpHeader,
  total: number,
  options: LongWorkOptions,
): Promise<Readable> {
  const { frameCount, ramBitmap, fileBitmap } = header;
  const files = new BitmapScan(bytes, fileBitmap, frameCount);
  const ram = new BitmapScan(bytes, ramBitmap, frameCount);
  const cut = new CutPages(bytes, header);
  const [regions, missing] = [new DumpRegions(bytes.name), new DumpRegions(bytes.name)];
  const pacer = new Pacer(options);
  let [place, missingPages] = [0, 0];
  for (let first = 0, index = 0; first < frameCount; first += BLOCK_FRAMES, index++) {
    const block = files.block(index);
    const there = (header.dumpLevel & DUMP_WITHOUT_ZEROES) !== 0 ? ram.block(index)?.slice() : block?.slice();
    const gone = new Uint32Array(block?.length ?? 0);
    for (let word = 0; block !== undefined && word < block.length; word++) {
      if (pacer.isDue) await pacer.turn({ what: 'looking for pages', done: place, total, unit: 'pages' });
      for (let bits = block[word]!; bits !== 0; bits &= bits - 1) {
        if (!cut.isMissing(place++)) continue;
        missingPages++;
        gone[word]! |= bits & -bits;
        if (there !== undefined) there[word]! &= ~(bits & -bits);
      }
    }
    if (there !== undefined) addRuns(regions, there, first, ramBitmap + index * PAGE_BYTES);
    addRuns(missing, gone, first, fileBitmap + index * PAGE_BYTES);
  }
  if (missingPages === total) {
    throw corrupt(bytes.name, header.descriptors, `it is truncated: none of its ${total} pages is in the file`);
  }
  return { regions: regions.list(), missing: missingPages === 0 ? [] : missing.list(), missingPages };
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
