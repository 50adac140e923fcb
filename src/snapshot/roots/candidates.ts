/**
 * Top-level tables by what they look like: each entry is 0 or leads to a table in RAM, and what is
 * found below is like page tables down to pages. Nothing is assumed of the guest's system but that its kernel is in the upper half, or that memory is
 * mapped where it is.
 */
import { createHash } from 'node:crypto';
import { gfnOf, PAGE_BYTES, paOf } from '../../core/address/pa.ts';
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { type PhysicalMemory, READ_NOT_FETCHED, READ_OK } from '../../core/memory/physical-memory.ts';
import {
  ENTRY_ABSENT,
  ENTRY_LEAF,
  ENTRY_RESERVED,
  ENTRY_TABLE,
  isCanonical,
  kindOf,
  leafGfn,
  type Paging,
  tableGfn,
} from '../../core/paging/format.ts';
import { walk } from '../../core/paging/walk.ts';
import type { MemoryRegion } from '../../driver/snapshot.ts';

/** A table that looks like a root. */
export interface Candidate {
  readonly root: number;
  readonly paging: Paging;
  /** A digest of the entries of the upper half, without what the processor sets in them, and without the table itself; empty where there are none. */
  readonly kernelHalf: string;
  /** The same of the lower one. A kernel that isolates itself takes the right to execute from its own copy of them: without that, too. */
  readonly userHalf: string;
  readonly userEntries: number;
  /** Of an entry that leads to the table itself. */
  readonly selfMap: number | undefined;
  /** Whether its upper half leads anywhere. */
  readonly highHalf: boolean;
  /** Whether it maps itself and other memory at their own addresses. */
  readonly isIdentity: boolean;
  /** Whether its lower half leads to tables, as far as it was looked at: large pages map whatever lies anywhere. */
  readonly hasUserTables: boolean;
  /** The tables that its entries lead to: physical addresses. */
  readonly tables: readonly number[];
}

/** Accessed and dirty. */
const SET_BY_PROCESSOR = 0x60;
/** Tables that are looked at below one. */
const SAMPLES = 4;
/** Addresses that firmware maps where they are, whatever else. */
const IDENTITY_SAMPLES = [0x1000, 0x8_0000, 0xf_f000];

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
  let [even, odd] = [0, 0];
  // From the top: that is where there is something, and where it is seen soonest that it is nothing.
  for (let slot = format.slots - 1; slot >= 0; slot--) {
    const lo = words[at + slot * width]!;
    const hi = width === 2 ? words[at + slot * width + 1]! : 0;
    if ((lo | hi) === 0) continue;
    const kind = kindOf(format, lo, hi);
    if (kind === ENTRY_ABSENT || kind === ENTRY_RESERVED) return false;
    if ((lo & format.refusedAtLoad & ~SET_BY_PROCESSOR) !== 0) return false;
    if (kind === ENTRY_TABLE && !isRam(tableGfn(format, lo, hi))) return false;
    if (slot % 2 === 0) even++;
    else odd++;
  }
  // A table of entries that are twice as wide: every second word is the upper half of one.
  if (width === 1 && odd === 0 && even > 3) return false;
  return even + odd > 0;
}

/** Where a search looks. */
export interface CandidateSource {
  readonly paging: Paging;
  readonly memory: PhysicalMemory;
  readonly isRam: (gfn: number) => boolean;
}

/**
 * The root at a place of a page that may be one, if what is found below it is like page tables.
 *
 * @throws PtmonError `not-fetched` where remote memory must be fetched first
 */
export function candidateAt(
  source: CandidateSource,
  words: Uint32Array,
  at: number,
  root: number,
): Candidate | undefined {
  const { paging, memory } = source;
  if (isOfDirectMap(paging, words, at, root)) return undefined;
  const found = describe(paging, words, at, root);
  const { highHalf } = found;
  const isIdentity = mapsItself(paging, root, memory);
  if (!highHalf && !isIdentity) return undefined;
  const quality = judgeTable(source, root, paging.levels[0]!.level, highHalf);
  const hasUserTables = leadsToTables(source, found.userTables);
  return quality === 'good' || (isIdentity && quality !== 'bad') ? { ...found, isIdentity, hasUserTables } : undefined;
}

/**
 * Whether memory lies at its own addresses, as under firmware and boot loaders: the root, and what is in the first MiB. It may be
 * read-only: with CR0.WP off that does not keep OVMF from writing to its tables, nor memtest86+ from writing to anything.
 */
function mapsItself(paging: Paging, root: number, memory: PhysicalMemory): boolean {
  return [root, ...IDENTITY_SAMPLES].every((va) => {
    if (!isCanonical(paging, Math.floor(va / PAGE_BYTES))) return false;
    const found = walk(paging, memory, root, va);
    return found.translates && found.pa === va;
  });
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

/** What a table is by its entries and some of those below: `unclear` has nothing that speaks for it, `empty` nothing at all; of one that is `lost`, the file lacks the page. */
type Quality = 'good' | 'unclear' | 'empty' | 'lost' | 'bad';

function judgeTable(source: CandidateSource, pa: number, level: number, highHalf = false): Quality {
  const { paging, memory, isRam } = source;
  const format = paging.byLevel[level]!;
  const below: number[] = [];
  let [inRam, elsewhere, notes, odd, even] = [0, 0, 0, 0, 0];
  // Of the root, what is the kernel's; the highest first.
  const end = highHalf ? format.slots / 2 : 0;
  for (let slot = format.slots - 1; slot >= end; slot--) {
    const entryPa = pa + slot * paging.mode.entryBytes;
    const outcome = memory.readEntry(entryPa, paging.mode.entryBytes, entry);
    if (outcome === READ_NOT_FETCHED) {
      throw new PtmonError('not-fetched', `entry ${hex(entryPa)} is not fetched yet`, { missing: [entryPa] });
    }
    if (outcome !== READ_OK) return isRam(gfnOf(pa)) ? 'lost' : 'bad';
    const [lo, hi] = [entry[0]!, entry[1]!];
    if ((lo | hi) === 0) continue;
    if (slot % 2 === 0) even++;
    else odd++;
    const kind = kindOf(format, lo, hi);
    // In the lower levels systems keep notes of their own in entries that are not present.
    if (kind === ENTRY_RESERVED || (kind === ENTRY_ABSENT && level > 2)) return 'bad';
    if (kind === ENTRY_ABSENT) notes++;
    if (kind === ENTRY_LEAF) {
      if (isRam(leafGfn(format, lo, hi))) inRam++;
      else elsewhere++;
    }
    if (kind !== ENTRY_TABLE) continue;
    const gfn = tableGfn(format, lo, hi);
    if (!isRam(gfn)) return 'bad';
    below.push(paOf(gfn));
  }
  if (paging.mode.entryBytes === 4 && odd === 0 && even > 3) return 'bad';
  if (odd + even === 0) return 'empty';
  // Where two of three entries lead out of RAM, or most are notes, it may be any page of data.
  const isTable = inRam > 0 && inRam * 2 >= elsewhere && notes <= inRam + elsewhere;
  if (below.length === 0) return isTable ? 'good' : 'unclear';
  const samples = spread(below).filter((table) => table !== pa);
  const looks = samples.map((table) => judgeTable(source, table, level - 1));
  const count = (quality: Quality) => looks.filter((look) => look === quality).length;
  if (level > 2 ? count('bad') > 0 : count('bad') > count('good')) return 'bad';
  return isTable || count('good') > 0 || samples.length === 0 ? 'good' : 'unclear';
}

/** Whether tables that a root's lower half leads to are tables: of most, something speaks for it. */
function leadsToTables(source: CandidateSource, tables: readonly number[]): boolean {
  const level = source.paging.levels[0]!.level - 1;
  const looks = tables.length === 0 ? [] : spread(tables).map((table) => judgeTable(source, table, level));
  const full = looks.filter((look) => look !== 'empty' && look !== 'lost');
  return full.filter((look) => look === 'good').length * 2 >= full.length;
}

/** Some of a list, as far from each other as can be. */
function spread(list: readonly number[]): number[] {
  const found = Array.from({ length: SAMPLES }, (_, at) => list[Math.round((at * (list.length - 1)) / (SAMPLES - 1))]!);
  return [...new Set(found)];
}

/** Whether a table has itself and its neighbours in a row: it is one that maps memory page by page, and is no root. */
function isOfDirectMap(paging: Paging, words: Uint32Array, at: number, root: number): boolean {
  const format = paging.levels[0]!;
  const frameAt = (slot: number) => {
    const [lo, hi] = entryAt(paging, words, at, slot);
    return kindOf(format, lo, hi) === ENTRY_TABLE ? paOf(tableGfn(format, lo, hi)) : undefined;
  };
  for (let slot = 1; slot < format.slots - 1; slot++) {
    if (frameAt(slot) !== root) continue;
    if (frameAt(slot - 1) === root - PAGE_BYTES || frameAt(slot + 1) === root + PAGE_BYTES) return true;
  }
  return false;
}

/** What the entries of a table alone say. */
type Described = Omit<Candidate, 'isIdentity' | 'hasUserTables'> & { readonly userTables: readonly number[] };

function describe(paging: Paging, words: Uint32Array, at: number, root: number): Described {
  const format = paging.levels[0]!;
  const [user, kernel]: [string[], string[]] = [[], []];
  const tables: number[] = [];
  const userTables: number[] = [];
  let selfMap: number | undefined;
  for (let slot = 0; slot < format.slots; slot++) {
    const [lo, hi] = entryAt(paging, words, at, slot);
    if ((lo | hi) === 0) continue;
    const low = (lo & ~SET_BY_PROCESSOR) >>> 0;
    const table = kindOf(format, lo, hi) === ENTRY_TABLE ? paOf(tableGfn(format, lo, hi)) : undefined;
    if (table !== undefined) tables.push(table);
    if (table !== undefined && table !== root && slot < format.slots / 2) userTables.push(table);
    if (table === root) selfMap = slot;
    else if (slot < format.slots / 2) user.push(`${slot}:${low}:${hi & 0x7fffffff}`);
    else kernel.push(`${slot}:${low}:${hi}`);
  }
  const [kernelHalf, userHalf] = [digest(kernel), digest(user)];
  const highHalf = kernel.length > 0 || (selfMap !== undefined && selfMap >= format.slots / 2);
  return { root, paging, kernelHalf, userHalf, userEntries: user.length, selfMap, highHalf, tables, userTables };
}

/** As good as the entries themselves, and short: memory may be full of what looks like roots. */
function digest(entries: readonly string[]): string {
  return entries.length === 0 ? '' : createHash('sha1').update(entries.join()).digest('base64');
}

function entryAt(paging: Paging, words: Uint32Array, at: number, slot: number): readonly [lo: number, hi: number] {
  if (paging.mode.entryBytes === 4) return [words[at + slot]!, 0];
  return [words[at + slot * 2]!, words[at + slot * 2 + 1]!];
}
