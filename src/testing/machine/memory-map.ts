/** Where the machine's RAM is. Laid out as on a PC: a hole below 1 MiB, another below 4 GiB. */
import { PtmonError } from '../../core/error.ts';

/** `frames` frames of RAM from frame `gfn` on. */
export interface RamRange {
  readonly gfn: number;
  readonly frames: number;
}

/** First frame above 4 GiB. */
export const HIGH_RAM_GFN = 0x100000;

/** Frames of the legacy video and firmware hole, 640 KiB to 1 MiB. */
const HOLE_GFN = 0xa0;
const HOLE_END_GFN = 0x100;

/**
 * The ranges of `frames` frames of RAM, ascending: all of them below 4 GiB, or (`aboveFourGib`) half of them above, where
 * their addresses need the high word of an entry.
 *
 * @throws PtmonError `bad-argument`
 */
export function memoryMap(frames: number, aboveFourGib: boolean): readonly RamRange[] {
  if (!Number.isInteger(frames) || frames < 1 || frames > HIGH_RAM_GFN / 2) {
    throw new PtmonError('bad-argument', `${frames} frames of memory is not an integer from 1 to ${HIGH_RAM_GFN / 2}`);
  }
  const high = aboveFourGib ? Math.floor(frames / 2) : 0;
  const low = frames - high;
  const ranges: RamRange[] = [{ gfn: 0, frames: Math.min(low, HOLE_GFN) }];
  if (low > HOLE_GFN) ranges.push({ gfn: HOLE_END_GFN, frames: low - HOLE_GFN });
  if (high > 0) ranges.push({ gfn: HIGH_RAM_GFN, frames: high });
  return ranges;
}
