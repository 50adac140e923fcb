/** The ramfile driver: any guest whose RAM is a file on this host, whatever runs it. Samples; see `SamplingDriver`. */
import { PtmonError } from '../../core/error.ts';
import type { RegisterAccess } from '../../driver/driver.ts';
import { PositionedMemory } from './positioned-memory.ts';
import { RamFile } from './ram-file.ts';
import { parseRamMap, plainRegions, sizeText } from './ram-map.ts';
import { type RamRegion, RamRegions } from './ram-regions.ts';
import { SamplingDriver } from './sampling-driver.ts';

export interface RamFileOptions {
  /** Of the file that is the guest's RAM. */
  readonly path: string;
  /** Where RAM lies in it, as a list or as `parseRamMap` reads it; defaults to all of it from address 0 on. */
  readonly regions?: readonly RamRegion[] | string;
  /** As `SamplingOptions.intervalMs`. */
  readonly intervalMs?: number;
  /** As `SamplingOptions.minIntervalMs`. */
  readonly minIntervalMs?: number;
  /** A file has no registers: without them the caller must name the paging mode. */
  readonly registers?: RegisterAccess;
  /** Pages held at most between two samples; defaults to 4096 (16 MiB). */
  readonly maxPages?: number;
}

/**
 * Opens a RAM file that some hypervisor writes. That the guest has ended is seen only where the file goes with it: a file that
 * stays and rests looks like a guest that does nothing.
 *
 * @throws PtmonError `source-unavailable` for a file that cannot be read or is smaller than its regions; `bad-argument` for
 *   regions that cannot be, a size that needs a map (`plainRegions`), and an interval that is none
 */
export async function openRamFile(options: RamFileOptions): Promise<SamplingDriver> {
  const { path, intervalMs, minIntervalMs, registers, maxPages } = options;
  const file = new RamFile(path);
  try {
    const memory = new PositionedMemory([{ source: file, regions: regionsOf(file, options.regions) }], {
      guestRuns: true,
      ...(maxPages !== undefined && { maxPages }),
    });
    return new SamplingDriver({
      name: 'ramfile',
      source: { memory, clear: () => memory.clear(), check: () => memory.check(), close: () => memory.close() },
      ...(intervalMs !== undefined && { intervalMs }),
      ...(minIntervalMs !== undefined && { minIntervalMs }),
      ...(registers !== undefined && { registers }),
    });
  } catch (error) {
    file.close();
    throw error;
  }
}

function regionsOf(file: RamFile, wanted: readonly RamRegion[] | string | undefined): readonly RamRegion[] {
  if (wanted === undefined) return plainRegions(file.byteLength);
  const regions = new RamRegions(typeof wanted === 'string' ? parseRamMap(wanted) : wanted);
  if (regions.endPosition <= file.byteLength) return regions.list;
  throw new PtmonError(
    'source-unavailable',
    `${file.name} is too small for its RAM regions: ${sizeText(regions.endPosition)} expected, ` +
      `${sizeText(file.byteLength)} there`,
  );
}
