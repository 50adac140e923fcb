/** Maps of a raw file: where its pieces belong, by lists of RAM and the holes between pieces. */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import type { ListedPlaces } from './list-heads.ts';
import type { ListedRam } from './listed-ram.ts';
import type { PlacedPiece } from './placed-memory.ts';

const GIB = 2 ** 30;
const FOUR_GIB = 4 * GIB;

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

/** What is from 4 GiB on in a file that ends its low memory at a position. */
function splitAt(position: number, rawBytes: number): PlacedPiece[] {
  return [...placed(0, 0, position), ...placed(FOUR_GIB, position, rawBytes)];
}

/** QEMU splits the RAM of `q35` at 2 GiB and of `pc` at 3 GiB; the rest is from 4 GiB on. */
export function layouts(rawBytes: number): PlacedPiece[][] {
  return [2 * GIB, 3 * GIB].filter((split) => rawBytes > split).map((split) => splitAt(split, rawBytes));
}

/** The list of RAM, as far as the file goes, that nothing contradicts; none where each is contradicted. */
export function mapThatFits(
  places: readonly ListedPlaces[],
  lists: readonly ListedRam[],
  rawBytes: number,
): readonly PlacedPiece[] {
  return wholeLists(lists, rawBytes).find((pieces) => places.every(({ fits }) => fits(pieces))) ?? [];
}

function wholeLists(lists: readonly ListedRam[], rawBytes: number): readonly PlacedPiece[][] {
  return lists.filter((list) => bytesIn(list) >= rawBytes).map((list) => listedPieces(list, rawBytes));
}

/** The map that holes allow, of those that a machine or a list of RAM has; none where they do not say enough. */
export function mapWithHoles(
  { holes, fits }: ListedPlaces,
  lists: readonly ListedRam[],
  rawBytes: number,
): readonly PlacedPiece[] {
  const [first] = holes;
  const split = FOUR_GIB - first!.byteLength;
  const isSplit = holes.length === 1 && split > first!.after && split <= first!.before;
  const maps = [...(isSplit ? [splitAt(split, rawBytes)] : []), ...wholeLists(lists, rawBytes)];
  return maps.find((pieces) => pieces.length > holes.length && fits(pieces)) ?? [];
}

/**
 * The map if all that is missing are gaps of a list of RAM that are as long as the holes and may be where they are. The same length of
 * something else may be missing: then that gap is in the file.
 */
export function mapOfLikeGaps(
  { holes, fits }: ListedPlaces,
  lists: readonly ListedRam[],
  rawBytes: number,
): readonly PlacedPiece[] {
  const maps = lists.map((list) => {
    const pieces: PlacedPiece[] = [];
    let [position, missing] = [0, 0];
    for (const { after, before, byteLength } of holes) {
      const gap = list.findIndex(([, last], index) => {
        const end = last + 1 - missing;
        return list[index + 1]?.[0] === last + 1 + byteLength && end > after && end <= before;
      });
      if (gap < 0) return [];
      const end = list[gap]![1] + 1 - missing;
      pieces.push(...placed(position + missing, position, end));
      [position, missing] = [end, missing + byteLength];
    }
    return [...pieces, ...placed(position + missing, position, rawBytes)];
  });
  return maps.find((pieces) => pieces.length > 0 && fits(pieces)) ?? [];
}
