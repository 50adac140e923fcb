/** A raw file as memory whose pieces lie somewhere else than at their positions: as if its map had been given. */
import { gfnOf, PAGE_BYTES, paOf } from '../../core/address/pa.ts';
import { PageCache } from '../../core/memory/page-cache.ts';
import { READ_NOT_FETCHED } from '../../core/memory/physical-memory.ts';
import type { MemoryRegion, Snapshot } from '../../driver/snapshot.ts';

/** A piece of the file, and the physical address that it belongs to. Both are multiples of 4096, the position is not. */
export interface PlacedPiece {
  readonly pa: number;
  readonly byteLength: number;
  readonly position: number;
}

const MAX_PAGES = 2 ** 12;

/**
 * @param file whose addresses are its positions
 * @param missing RAM that the file lacks
 */
export function placedSnapshot(
  file: Snapshot,
  pieces: readonly PlacedPiece[],
  missing: readonly MemoryRegion[],
): Snapshot {
  const cache = new PageCache({ maxPages: MAX_PAGES });
  const readBytes = (pa: number, byteLength: number) => {
    const piece = pieces.find((each) => pa >= each.pa && pa + byteLength <= each.pa + each.byteLength);
    return piece === undefined ? undefined : file.readBytes?.(piece.position + pa - piece.pa, byteLength);
  };
  const readEntry: Snapshot['memory']['readEntry'] = (pa, byteLength, out) => {
    const outcome = cache.readEntry(pa, byteLength, out);
    if (outcome !== READ_NOT_FETCHED) return outcome;
    if (cache.pageCount >= MAX_PAGES) cache.clear();
    const gfn = gfnOf(pa);
    cache.put(gfn, readBytes(paOf(gfn), PAGE_BYTES) ?? null);
    return cache.readEntry(pa, byteLength, out);
  };
  const { description } = file;
  return { description, memory: { readEntry }, regions: pieces, missing, readBytes, close: async () => {} };
}
