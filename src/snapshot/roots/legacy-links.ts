/**
 * Where tables of legacy 32-bit paging belong, in a file whose positions may be no addresses. Entries of 32 bits look like much else, so
 * what counts is tables of which a directory says what is in them: next to the large pages of a direct map, the one that maps what is
 * missing between them.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import type { Pacer } from '../../driver/pacer.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import { pagesOf } from './file-pages.ts';

const SLOTS = 1024;
const PRESENT = 1;
const PRESENT_AND_LARGE = 0x81;
const LARGE_SHIFT = 22;
/** Large pages in a row that are a direct map. */
const ROW = 3;
const MAX_LINKS = 2 ** 12;

export interface LegacyLinks {
  /** Distances between where an entry says that a table is, and where the table is that has what it must have: how many links agree. */
  readonly distances: ReadonlyMap<number, number>;
  /** Positions of directories, ascending. */
  readonly tables: Float64Array;
}

/** Reads the file as pages that begin at `phase`. */
export async function findLegacyLinks(snapshot: Snapshot, phase: number, pacer: Pacer): Promise<LegacyLinks> {
  /** Positions of tables, by the number of the large page that they map in small ones. */
  const tables = new Map<number, number[]>();
  const links = new Map<number, number>();
  const directories: number[] = [];
  for await (const { words, position } of pagesOf(snapshot, phase, pacer)) {
    const mapped = linearTable(words);
    if (mapped !== undefined) tables.set(mapped, [...(tables.get(mapped) ?? []), position]);
    else if (links.size < MAX_LINKS && addLinks(words, links)) directories.push(position);
  }
  const distances = new Map<number, number>();
  for (const [link, mapped] of links) {
    for (const position of tables.get(mapped) ?? []) {
      distances.set(link - position, (distances.get(link - position) ?? 0) + 1);
    }
  }
  return { distances, tables: Float64Array.from(directories) };
}

/** The number of the large page that a table maps in small ones, all of it; undefined for any other page. */
function linearTable(words: Uint32Array): number | undefined {
  const first = words[0]! >>> 12;
  if (first % SLOTS !== 0) return undefined;
  for (let slot = 0; slot < SLOTS; slot++) {
    if ((words[slot]! & PRESENT) === 0 || words[slot]! >>> 12 !== first + slot) return undefined;
  }
  return first / SLOTS;
}

/** Adds the tables that a directory names before the large pages of a direct map, and which large page each maps; returns whether any. */
function addLinks(words: Uint32Array, links: Map<number, number>): boolean {
  const large = (slot: number) =>
    (words[slot]! & PRESENT_AND_LARGE) === PRESENT_AND_LARGE ? words[slot]! >>> LARGE_SHIFT : undefined;
  let isDirectory = false;
  for (let slot = 0; slot + ROW < SLOTS; slot++) {
    if ((words[slot]! & PRESENT_AND_LARGE) !== PRESENT) continue;
    const next = large(slot + 1);
    if (next === undefined || next === 0) continue;
    let row = 1;
    while (row < ROW && large(slot + 1 + row) === next + row) row++;
    if (row < ROW) continue;
    links.set((words[slot]! >>> 12) * PAGE_BYTES, next - 1);
    isDirectory = true;
  }
  return isDirectory;
}
