/** Maps of a raw file: where its pieces belong, by lists of RAM and the holes between pieces. */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import type { Hole } from './list-heads.ts';
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

/** The pieces between holes of which a list of RAM says where they begin: their lengths are known, and where about they are. */
export function piecesAround(
  holes: readonly Hole[],
  lists: readonly ListedRam[],
  rawBytes: number,
): readonly PlacedPiece[] {
  const exact = exactList(lists, rawBytes);
  if (exact !== undefined) return listedPieces(exact, rawBytes);
  const maps = lists.map((list) => {
    const ends: number[] = [];
    let missing = 0;
    for (const { after, before, byteLength } of holes) {
      const end = list.findIndex(([, last], index) => {
        const position = last + 1 - missing;
        return list[index + 1]?.[0] === last + 1 + byteLength && position > after && position <= before;
      });
      if (end < 0) return [];
      ends.push(list[end]![1] + 1 - missing);
      missing += byteLength;
    }
    const shifts = holes.map((_, index) => holes.slice(0, index + 1).reduce((sum, each) => sum + each.byteLength, 0));
    return [0, ...ends].flatMap((position, index) =>
      placed(position + (shifts[index - 1] ?? 0), position, ends[index] ?? rawBytes),
    );
  });
  return maps.find((pieces) => pieces.length > 0) ?? [];
}
