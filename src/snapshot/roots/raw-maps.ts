/** Maps of a raw file: where its pieces belong, by lists of RAM and the holes between pieces. */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import type { ListedPlaces } from './list-heads.ts';
import type { ListedRam } from './listed-ram.ts';
import type { PlacedPiece } from './placed-memory.ts';

/** The file from a position on, at a physical address. */
export function placed(pa: number, position: number, byteLength: number): PlacedPiece[] {
  const pages = Math.floor((byteLength - position) / PAGE_BYTES);
  return pages > 0 ? [{ pa, byteLength: pages * PAGE_BYTES, position }] : [];
}

export function exactList(lists: readonly ListedRam[], byteLength: number): ListedRam | undefined {
  return lists.find((list) => bytesIn(list) === byteLength);
}

export function bytesIn(list: ListedRam): number {
  return list.reduce((sum, [first, last]) => sum + last + 1 - first, 0);
}

/** Ranges one after the other, as far as the file goes. */
export function listedPieces(list: ListedRam, byteLength: number): PlacedPiece[] {
  let position = 0;
  return list.flatMap(([first, last]) => {
    const start = position;
    position += last + 1 - first;
    return placed(first, start, Math.min(position, byteLength));
  });
}

/** The list of RAM, as far as the file goes, that nothing contradicts; none where each is contradicted. */
export function mapThatFits(
  places: readonly ListedPlaces[],
  lists: readonly ListedRam[],
  rawBytes: number,
): readonly PlacedPiece[] {
  const whole = lists.filter((list) => bytesIn(list) >= rawBytes).map((list) => listedPieces(list, rawBytes));
  return whole.find((pieces) => places.every(({ fits }) => fits(pieces))) ?? [];
}
