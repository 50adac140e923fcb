/** Where guest RAM lies: which physical addresses are backed, and where each range begins in what backs it. */
import { PA_LIMIT, PAGE_BYTES } from '../../core/address/pa.ts';
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';

/** A range of guest RAM that lies in one piece: `pa + n` is at `position + n`, for n below `byteLength`. */
export interface RamRegion {
  /** First physical address; a multiple of 4096. */
  readonly pa: number;
  /** A multiple of 4096. */
  readonly byteLength: number;
  /** Of its first byte, in bytes: the offset in a RAM file, or the host address in a process. */
  readonly position: number;
}

/** Regions in ascending order of their addresses, which do not overlap; positions may, since RAM can be seen twice. */
export class RamRegions<Region extends RamRegion = RamRegion> {
  readonly list: readonly Region[];
  // The region found last: addresses are asked for in runs.
  #last: Region | undefined;

  /** @param regions in any order @throws PtmonError `bad-argument`: an odd boundary, an overlap, no region at all */
  constructor(regions: readonly Region[]) {
    this.list = [...regions].sort((a, b) => a.pa - b.pa);
    for (const region of this.list) checkRegion(region);
    for (const [index, region] of this.list.entries()) {
      const next = this.list[index + 1];
      if (next !== undefined && region.pa + region.byteLength > next.pa) {
        throw new PtmonError(
          'bad-argument',
          `the RAM region ${describe(region)} overlaps ${describe(next)}: an address is in one region only`,
        );
      }
    }
    if (this.list.length === 0) throw new PtmonError('bad-argument', 'the guest has no RAM region');
  }

  /** The region that holds `pa`; undefined where there is no RAM. */
  find(pa: number): Region | undefined {
    const last = this.#last;
    if (last !== undefined && pa >= last.pa && pa - last.pa < last.byteLength) return last;
    let low = 0;
    let high = this.list.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.list[middle]!.pa <= pa) low = middle + 1;
      else high = middle;
    }
    const found = this.list[low - 1];
    if (found === undefined || pa - found.pa >= found.byteLength) return undefined;
    this.#last = found;
    return found;
  }

  /** All RAM, in bytes. */
  get byteLength(): number {
    return this.list.reduce((total, region) => total + region.byteLength, 0);
  }

  /** One more than the highest position that any region uses: the least size of a file that holds them all. */
  get endPosition(): number {
    return Math.max(...this.list.map(({ position, byteLength }) => position + byteLength));
  }
}

function checkRegion(region: RamRegion): void {
  const { pa, byteLength, position } = region;
  const isWhole = (value: number) => Number.isSafeInteger(value) && value >= 0 && value % PAGE_BYTES === 0;
  const refuse = (why: string) => new PtmonError('bad-argument', `the RAM region ${describe(region)} ${why}`);
  if (!isWhole(pa) || !isWhole(byteLength)) throw refuse(`does not begin and end at multiples of ${PAGE_BYTES}`);
  if (byteLength === 0) throw refuse('is empty');
  if (pa + byteLength > PA_LIMIT) throw refuse('ends beyond 2^52, the highest physical address');
  if (position < 0 || !Number.isSafeInteger(position + byteLength)) throw refuse('has an invalid position in the file');
}

function describe({ pa, byteLength, position }: RamRegion): string {
  return `${hex(pa)}+${hex(byteLength)}@${hex(position)}`;
}
