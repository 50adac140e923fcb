/** A raw file as memory whose pieces lie somewhere else than at their positions: as if its map had been given. */
import { frameOffsetOf, gfnOf, PAGE_BYTES, paOf } from '../../core/address/pa.ts';
import { READ_NO_MEMORY, READ_OK } from '../../core/memory/physical-memory.ts';
import type { Snapshot } from '../../driver/snapshot.ts';

/** A piece of the file, and the physical address that it belongs to. Both are multiples of 4096, the position is not. */
export interface PlacedPiece {
  readonly pa: number;
  readonly byteLength: number;
  readonly position: number;
}

const MAX_PAGES = 2 ** 12;

/** @param file whose addresses are its positions */
export function placedSnapshot(file: Snapshot, pieces: readonly PlacedPiece[]): Snapshot {
  const pages = new Map<number, Uint32Array | undefined>();
  const readBytes = (pa: number, byteLength: number) => {
    const piece = pieces.find((each) => pa >= each.pa && pa + byteLength <= each.pa + each.byteLength);
    return piece === undefined ? undefined : file.readBytes?.(piece.position + pa - piece.pa, byteLength);
  };
  const pageAt = (gfn: number) => {
    if (pages.has(gfn)) return pages.get(gfn);
    const bytes = readBytes(paOf(gfn), PAGE_BYTES);
    const words = bytes && new Uint32Array(bytes.buffer, bytes.byteOffset, PAGE_BYTES / 4);
    if (pages.size >= MAX_PAGES) pages.clear();
    pages.set(gfn, words);
    return words;
  };
  const readEntry: Snapshot['memory']['readEntry'] = (pa, byteLength, out) => {
    const words = pageAt(gfnOf(pa));
    if (words === undefined) return READ_NO_MEMORY;
    const word = frameOffsetOf(pa) >>> 2;
    out[0] = words[word]!;
    out[1] = byteLength === 8 ? words[word + 1]! : 0;
    return READ_OK;
  };
  return { description: file.description, memory: { readEntry }, regions: pieces, readBytes, close: async () => {} };
}
