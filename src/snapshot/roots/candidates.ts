/**
 * Top-level tables by what they look like: each entry is 0 or leads to a table in RAM, at least one of them in the upper half, and what is
 * found below is like page tables down to pages. Nothing is assumed of the guest's system but that its kernel is in the upper half.
 */
import { createHash } from 'node:crypto';
import { PAGE_BYTES, paOf } from '../../core/address/pa.ts';
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { type PhysicalMemory, READ_NOT_FETCHED, READ_OK } from '../../core/memory/physical-memory.ts';
import {
  ENTRY_ABSENT,
  ENTRY_LEAF,
  ENTRY_RESERVED,
  ENTRY_TABLE,
  kindOf,
  type Paging,
  tableGfn,
} from '../../core/paging/format.ts';
import type { MemoryRegion } from '../../driver/snapshot.ts';

/** A table that looks like a root. */
export interface Candidate {
  readonly root: number;
  readonly paging: Paging;
  /** A digest of the entries of the upper half, without what the processor sets in them. */
  readonly kernelHalf: string;
  /** The same of the lower one. A kernel that isolates itself takes the right to execute from its own copy of them: without that, too. */
  readonly userHalf: string;
  readonly userEntries: number;
  /** Of an entry that leads to the table itself. */
  readonly selfMap: number | undefined;
  /** The tables that its entries lead to: physical addresses. */
  readonly tables: readonly number[];
}

/** Accessed and dirty. */
const SET_BY_PROCESSOR = 0x60;
/** Tables that are looked at below one. */
const SAMPLES = 2;

const entry = new Uint32Array(2);

/** Words of a page. */
export const PAGE_WORDS = PAGE_BYTES / 4;

/** Most memory of most guests. */
export function isAllZero(words: Uint32Array, page: number): boolean {
  for (let at = page; at < page + PAGE_WORDS; at++) if (words[at] !== 0) return false;
  return true;
}

/** The places of a page where there may be a root, by its own entries alone: of PAE's, which are small, there may be many. */
export function mayBeRoots(
  paging: Paging,
  words: Uint32Array,
  page: number,
  isRam: (gfn: number) => boolean,
): number[] {
  const step = paging.rootAlignment / 4;
  const found: number[] = [];
  for (let at = page; at < page + PAGE_WORDS; at += step) if (mayBeRoot(paging, words, at, isRam)) found.push(at);
  return found;
}

function mayBeRoot(paging: Paging, words: Uint32Array, at: number, isRam: (gfn: number) => boolean): boolean {
  const format = paging.levels[0]!;
  const width = paging.mode.entryBytes / 4;
  const half = format.slots / 2;
  let kernel = 0;
  // From the top: that is where there is something, and where it is seen soonest that it is nothing.
  for (let slot = format.slots - 1; slot >= 0; slot--) {
    if (slot < half && kernel === 0) return false;
    const lo = words[at + slot * width]!;
    const hi = width === 2 ? words[at + slot * width + 1]! : 0;
    if ((lo | hi) === 0) continue;
    const kind = kindOf(format, lo, hi);
    if (kind === ENTRY_ABSENT || kind === ENTRY_RESERVED) return false;
    if ((lo & format.refusedAtLoad & ~SET_BY_PROCESSOR) !== 0) return false;
    if (kind === ENTRY_TABLE && !isRam(tableGfn(format, lo, hi))) return false;
    if (slot >= half) kernel++;
  }
  return true;
}

/**
 * The root at a place of a page that may be one, if what is found below it is like page tables.
 *
 * @throws PtmonError `not-fetched` where remote memory must be fetched first
 */
export function candidateAt(
  paging: Paging,
  words: Uint32Array,
  at: number,
  root: number,
  memory: PhysicalMemory,
  isRam: (gfn: number) => boolean,
): Candidate | undefined {
  return looksLikeTables(paging, root, paging.levels[0]!.level, memory, isRam)
    ? describe(paging, words, at, root)
    : undefined;
}

/** Whether there is RAM at a frame, for as many questions as there are entries. */
export function ramTest(regions: readonly MemoryRegion[]): (gfn: number) => boolean {
  const starts = Float64Array.from(regions, ({ pa }) => pa / PAGE_BYTES);
  const ends = Float64Array.from(regions, ({ pa, byteLength }) => (pa + byteLength) / PAGE_BYTES);
  return (gfn) => {
    let [low, high] = [0, starts.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (starts[middle]! <= gfn) low = middle + 1;
      else high = middle;
    }
    return low > 0 && gfn < ends[low - 1]!;
  };
}

/** Whether some of the tables below, down to pages, have nothing in them that no page table has. */
function looksLikeTables(
  paging: Paging,
  pa: number,
  level: number,
  memory: PhysicalMemory,
  isRam: (gfn: number) => boolean,
): boolean {
  const format = paging.byLevel[level]!;
  const below: number[] = [];
  let leaves = 0;
  // Of the root, what is the kernel's; the highest first.
  const end = format === paging.levels[0] ? format.slots / 2 : 0;
  for (let slot = format.slots - 1; slot >= end; slot--) {
    const entryPa = pa + slot * paging.mode.entryBytes;
    const outcome = memory.readEntry(entryPa, paging.mode.entryBytes, entry);
    if (outcome === READ_NOT_FETCHED) {
      throw new PtmonError('not-fetched', `entry ${hex(entryPa)} is not fetched yet`, { missing: [entryPa] });
    }
    if (outcome !== READ_OK) return false;
    const [lo, hi] = [entry[0]!, entry[1]!];
    if ((lo | hi) === 0) continue;
    const kind = kindOf(format, lo, hi);
    // In the lower levels systems keep notes of their own in entries that are not present.
    if (kind === ENTRY_RESERVED || (kind === ENTRY_ABSENT && level > 2)) return false;
    if (kind === ENTRY_LEAF) leaves++;
    if (kind !== ENTRY_TABLE) continue;
    const gfn = tableGfn(format, lo, hi);
    if (!isRam(gfn)) return false;
    below.push(paOf(gfn));
  }
  if (below.length === 0) return leaves > 0;
  // The first and the last are as far from each other as can be.
  const samples = [...new Set([...below.slice(0, SAMPLES - 1), below.at(-1)!])].filter((table) => table !== pa);
  if (samples.length === 0) return true;
  const looks = samples.map((table) => looksLikeTables(paging, table, level - 1, memory, isRam));
  return level > 2 ? looks.every(Boolean) : looks.some(Boolean);
}

function describe(paging: Paging, words: Uint32Array, at: number, root: number): Candidate {
  const format = paging.levels[0]!;
  const [user, kernel]: [string[], string[]] = [[], []];
  const tables: number[] = [];
  let selfMap: number | undefined;
  for (let slot = 0; slot < format.slots; slot++) {
    const [lo, hi] = entryAt(paging, words, at, slot);
    if ((lo | hi) === 0) continue;
    const low = (lo & ~SET_BY_PROCESSOR) >>> 0;
    const table = kindOf(format, lo, hi) === ENTRY_TABLE ? paOf(tableGfn(format, lo, hi)) : undefined;
    if (table !== undefined) tables.push(table);
    if (table === root) selfMap = slot;
    else if (slot < format.slots / 2) user.push(`${slot}:${low}:${hi & 0x7fffffff}`);
    else kernel.push(`${slot}:${low}:${hi}`);
  }
  const [kernelHalf, userHalf] = [digest(kernel), digest(user)];
  return { root, paging, kernelHalf, userHalf, userEntries: user.length, selfMap, tables };
}

/** As good as the entries themselves, and short: memory may be full of what looks like roots. */
function digest(entries: readonly string[]): string {
  return createHash('sha1').update(entries.join()).digest('base64');
}

function entryAt(paging: Paging, words: Uint32Array, at: number, slot: number): readonly [lo: number, hi: number] {
  if (paging.mode.entryBytes === 4) return [words[at + slot]!, 0];
  return [words[at + slot * 2]!, words[at + slot * 2 + 1]!];
}
