/** What of a piece of an address space is in memory, by the page tables, as Linux counts it (fs/proc/task_mmu.c, `smaps_pte_entry`). */
import { PAGE_BYTES, paOf } from '../../core/address/pa.ts';
import { u64Of, vpnOf } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_NOT_FETCHED, READ_OK } from '../../core/memory/physical-memory.ts';
import {
  ENTRY_ABSENT,
  ENTRY_LEAF,
  ENTRY_TABLE,
  kindOf,
  leafGfn,
  type LevelFormat,
  type Paging,
  slotOf,
  tableGfn,
} from '../../core/paging/format.ts';
import { type EntryFormat, type EntryMeaning, meaningOf } from '../entries/entry-meaning.ts';
import { GuestFault } from '../memory/guest-fault.ts';
import type { Steps } from '../memory/steps.ts';

/** 4 KiB pages. */
export interface AreaPages {
  /** That the processor translates. */
  readonly mapped: number;
  /** In memory: what smaps calls Rss. The page of zeroes, and what is no page of the kernel's (a device's memory), do not count. */
  readonly resident: number;
  readonly swapped: number;
}

/** `_PAGE_SPECIAL`: bit 9, of the page of zeroes and of what is no page of the kernel's. */
const SPECIAL = 0x200;
const WRITABLE = 0x2;
/** Entries that are not present, of pages that are in memory (`is_pfn_swap_entry`, include/linux/swapops.h). */
const RESIDENT: readonly EntryMeaning['kind'][] = ['inaccessible', 'migrating', 'changing', 'device'];
/** Tables that are looked through at most, all in all: 2^18 map 512 GiB by small pages. */
const MAX_TABLES = 1 << 18;

/** Counts the pages of one process, an area at a time. */
export class PageCounter {
  readonly #paging: Paging;
  readonly #memory: PhysicalMemory;
  readonly #format: EntryFormat;
  readonly #resident: ReadonlySet<EntryMeaning['kind']>;
  /** Whether the large page at a frame holds zeroes only: many entries may lead to it. */
  readonly #zeroes = new Map<number, boolean>();
  /** What is below a table, where all of it is asked for: a guest may lead to it from many places, itself among them. */
  readonly #whole = new Map<number, AreaPages>();
  readonly #entry = new Uint32Array(2);
  readonly #missing = new Set<number>();
  #tablesLeft = MAX_TABLES;

  /** @param countsPoison whether this kernel counts broken pages as resident */
  constructor(memory: PhysicalMemory, format: EntryFormat, countsPoison: boolean) {
    this.#paging = format.paging;
    this.#memory = memory;
    this.#format = format;
    this.#resident = new Set(countsPoison ? [...RESIDENT, 'poisoned'] : RESIDENT);
  }

  /** Tables that are not in memory: nothing below them is counted. */
  get missingTables(): number {
    return this.#missing.size;
  }

  /**
   * @param root of the process, the kernel's
   * @param end exclusive, of the lower half as `start` is
   * @throws PtmonError `not-fetched`; GuestFault where the tables do not end
   */
  *count(root: number, start: bigint, end: bigint): Steps<AreaPages> {
    const range = { first: vpnOf(start), last: vpnOf(end - 1n), missing: [] as number[] };
    const pages = yield* this.#countTable(this.#paging.levels[0]!, root, 0, range);
    const { missing } = range;
    if (missing.length === 0) return pages;
    this.#whole.clear();
    throw new PtmonError('not-fetched', 'page tables are not fetched yet', { missing });
  }

  *#countTable(format: LevelFormat, table: number, base: number, range: Range): Steps<AreaPages> {
    const isWhole = base >= range.first && base + format.slots * format.slotPages - 1 <= range.last;
    if (!isWhole) return yield* this.#look(format, table, base, range);
    // Tables are frames: the low bits are free to tell levels apart.
    const key = table + format.level;
    let pages = this.#whole.get(key);
    if (pages === undefined) this.#whole.set(key, (pages = yield* this.#look(format, table, base, range)));
    return pages;
  }

  *#look(format: LevelFormat, table: number, base: number, range: Range): Steps<AreaPages> {
    yield;
    if (this.#tablesLeft === 0) throw new GuestFault(`its page tables are more than ${MAX_TABLES}`);
    this.#tablesLeft--;
    const pages = { mapped: 0, resident: 0, swapped: 0 };
    const { first, last, missing } = range;
    for (let slot = base < first ? slotOf(format, first) : 0; slot < format.slots; slot++) {
      const page = base + slot * format.slotPages;
      if (page > last) break;
      const { entryBytes } = this.#paging.mode;
      const pa = table + slot * entryBytes;
      const outcome = this.#memory.readEntry(pa, entryBytes, this.#entry);
      if (outcome === READ_NOT_FETCHED) missing.push(pa);
      if (outcome === READ_NO_MEMORY) this.#missing.add(table);
      if (outcome !== READ_OK) break;
      const [lo, hi] = [this.#entry[0]!, this.#entry[1]!];
      if ((lo | hi) === 0) continue;
      const covered = Math.min(page + format.slotPages - 1, last) - Math.max(page, first) + 1;
      const kind = kindOf(format, lo, hi);
      if (kind === ENTRY_TABLE) {
        const below = paOf(tableGfn(format, lo, hi));
        const found = yield* this.#countTable(this.#paging.byLevel[format.level - 1]!, below, page, range);
        pages.mapped += found.mapped;
        pages.resident += found.resident;
        pages.swapped += found.swapped;
      } else if (kind === ENTRY_LEAF) {
        pages.mapped += covered;
        if (this.#isCounted(format, lo, hi)) pages.resident += covered;
      } else if (kind === ENTRY_ABSENT) {
        const meaning = meaningOf(this.#format, u64Of(lo, hi), format.level)?.kind;
        if (meaning === 'swapped') pages.swapped += covered;
        if (meaning !== undefined && this.#resident.has(meaning)) pages.resident += covered;
      }
    }
    return pages;
  }

  #isCounted(format: LevelFormat, lo: number, hi: number): boolean {
    if ((lo & SPECIAL) !== 0) return false;
    // The large page of zeroes is not marked, but never writable.
    return format.level !== 2 || (lo & WRITABLE) !== 0 || !this.#isZero(leafGfn(format, lo, hi), format.slotPages);
  }

  /** Whether a large page holds zeroes only. @throws PtmonError `not-fetched` */
  #isZero(gfn: number, pages: number): boolean {
    let isZero = this.#zeroes.get(gfn);
    if (isZero === undefined) this.#zeroes.set(gfn, (isZero = holdsZeroes(this.#memory, paOf(gfn), pages)));
    return isZero;
  }
}

/** Pages, both included, and what must be fetched to count them. */
interface Range {
  readonly first: number;
  readonly last: number;
  readonly missing: number[];
}

function holdsZeroes(memory: PhysicalMemory, pa: number, pages: number): boolean {
  const entry = new Uint32Array(2);
  for (let at = pa; at < pa + pages * PAGE_BYTES; at += 8) {
    const outcome = memory.readEntry(at, 8, entry);
    if (outcome === READ_NOT_FETCHED)
      throw new PtmonError('not-fetched', 'a page is not fetched yet', { missing: [at] });
    if (outcome !== READ_OK || entry[0] !== 0 || entry[1] !== 0) return false;
  }
  return true;
}
