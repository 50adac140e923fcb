/** Page tables of a million pages, spread over a guest's memory: written into its RAM file, used by nobody. */
import { closeSync, openSync, writeSync } from 'node:fs';

const PAGE = 4096;
const TABLES = 2048;
/** Prime to the number of frames, so that each is taken once. */
const STRIDE = 1009;

/**
 * @param path of the RAM file
 * @param from the first frame that may be taken, of `frames`
 * @returns the physical address of the top-level table: it maps 4 GiB at address 0, in pages of 4 KiB
 */
export function writeMillionPages(path: string, from: number, frames: number): number {
  const file = openSync(path, 'r+');
  let taken = 0;
  const nextFrame = () => from + ((taken++ * STRIDE) % frames);
  const writeTable = (entries: readonly number[]): number => {
    const frame = nextFrame();
    const table = Buffer.alloc(PAGE);
    for (const [slot, target] of entries.entries()) table.writeBigUInt64LE(BigInt(target * PAGE) | 7n, slot * 8);
    writeSync(file, table, 0, PAGE, frame * PAGE);
    return frame;
  };
  try {
    const tables = Array.from({ length: TABLES }, () => writeTable(Array.from({ length: 512 }, (_, slot) => slot)));
    const directories = [0, 1, 2, 3].map((at) => writeTable(tables.slice(at * 512, at * 512 + 512)));
    return writeTable([writeTable(directories)]) * PAGE;
  } finally {
    closeSync(file);
  }
}
