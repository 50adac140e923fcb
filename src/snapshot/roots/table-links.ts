/**
 * Page tables by what they hold alone, wherever they lie: pages of a file whose physical addresses are unknown. Long-mode and PAE
 * entries, as both have 64 bits and the same low flags.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import type { Pacer } from '../../driver/pacer.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import { pagesOf, readableBytes } from './file-pages.ts';
import type { ListHeads } from './list-heads.ts';

/** Tables and links that are kept of each 64th of the file, so that every part of it is heard: enough for an agreement. */
const SLICES = 64;
const MAX_TABLES = 2 ** 8;
const MAX_LINKS = 2 ** 7;
/** Of one table: a table that is none would make too much of itself. */
const LINKS_PER_TABLE = 8;

const PRESENT = 1;
const PS = 0x80;
const GLOBAL = 0x100;

export interface TableLinks {
  /** Positions of pages that hold nothing but entries, ascending. */
  readonly tables: Float64Array;
  /** Physical addresses of tables, as entries name them, ascending. */
  readonly links: Float64Array;
}

/** Reads the file as pages that begin at the phase of `heads`, which gets each. */
export async function findTableLinks(snapshot: Snapshot, heads: ListHeads, pacer: Pacer): Promise<TableLinks> {
  const byteLength = readableBytes(snapshot);
  const tables: number[] = [];
  const links = new Set<number>();
  const slice = { index: -1, tables: 0, links: 0 };
  const limit = (byteLength + 2 ** 32) / 2 ** 32;
  for await (const { words, position } of pagesOf(snapshot, heads.phase, pacer)) {
    heads.add(words, position);
    const found = linksOf(words, limit);
    if (found === undefined) continue;
    const index = Math.floor((position * SLICES) / byteLength);
    if (index !== slice.index) Object.assign(slice, { index, tables: 0, links: 0 });
    if (slice.tables++ < MAX_TABLES) tables.push(position);
    for (const link of found) {
      if (links.has(link) || slice.links === MAX_LINKS) continue;
      slice.links++;
      links.add(link);
    }
  }
  return { tables: Float64Array.from(tables), links: Float64Array.from(links).sort() };
}

/** What the entries of a table lead to, of those that lead to a table; undefined for what is no table. */
function linksOf(words: Uint32Array, limit: number): readonly number[] | undefined {
  const links: number[] = [];
  let entries = 0;
  for (let word = 0; word < words.length; word += 2) {
    const [lo, hi] = [words[word]!, words[word + 1]!];
    if ((lo | hi) === 0) continue;
    // Bits 62:52 are the system's own; no entry of a table that leads to tables uses address bits beyond the file.
    if ((lo & PRESENT) === 0 || (hi & 0xfffff) >= limit) return undefined;
    entries++;
    if ((lo & (PS | GLOBAL)) === 0 && links.length < LINKS_PER_TABLE) {
      links.push((hi & 0xfffff) * 2 ** 32 + (lo >>> 12) * PAGE_BYTES);
    }
  }
  if (entries === 0) return undefined;
  // Frames that follow each other, in either direction, are pages of memory: it is a page table, and not a table of tables.
  const inRow = links.filter((link, index) => index > 0 && Math.abs(link - links[index - 1]!) === PAGE_BYTES).length;
  return inRow >= 2 ? [] : links;
}
