/** What of a piece of an address space is in memory, by the page tables, as Linux counts it (fs/proc/task_mmu.c, `smaps_pte_entry`). */
import { PAGE_BYTES, paOf } from '../../core/address/pa.ts';
import { u64Of, vpnOf } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { type PhysicalMemory, READ_NOT_FETCHED, READ_OK } from '../../core/memory/physical-memory.ts';
import {
  ENTRY_ABSENT,
  ENTRY_LEAF,
  ENTRY_RESERVED,
  kindOf,
  leafGfn,
  type LevelFormat,
  type Paging,
  slotOf,
  tableGfn,
} from '../../core/paging/format.ts';
import { meaningOf } from '../entries/entry-meaning.ts';
import type { SwapTypes } from '../entries/swap-types.ts';
import { GuestFault } from '../memory/guest-fault.ts';

/** 4 KiB pages. */
export interface AreaPages {
  /** In memory: what smaps calls Rss. The page of zeroes, and what is no page of the kernel's (a device's memory), do not count. */
  readonly resident: number;
  readonly swapped: number;
}

/** `_PAGE_SPECIAL`: bit 9, of the page of zeroes and of what is no page of the kernel's. */
const SPECIAL = 0x200;
const WRITABLE = 0x2;
/** Tables that are looked through; 2^20 map 2 TiB by small pages. */
const MAX_TABLES = 1 << 20;

/**
 * @param root of the process, the kernel's
 * @throws PtmonError `not-fetched`; GuestFault where the tables do not end
 */
export function pagesIn(
  { paging, memory, types }: { readonly paging: Paging; readonly memory: PhysicalMemory; readonly types: SwapTypes },
  root: number,
  start: bigint,
  end: bigint,
): AreaPages {
  const first = vpnOf(start);
  const last = vpnOf(end - 1n);
  const entry = new Uint32Array(2);
  const missing: number[] = [];
  let resident = 0;
  let swapped = 0;
  let tables = 0;

  const look = (format: LevelFormat, table: number, base: number): void => {
    if (++tables > MAX_TABLES) throw new GuestFault(`its page tables are more than ${MAX_TABLES}`);
    const from = base < first ? slotOf(format, first) : 0;
    for (let slot = from; slot < format.slots; slot++) {
      const page = base + slot * format.slotPages;
      if (page > last) return;
      const pa = table + slot * 8;
      const outcome = memory.readEntry(pa, 8, entry);
      if (outcome === READ_NOT_FETCHED) missing.push(pa);
      if (outcome !== READ_OK) return;
      const [lo, hi] = [entry[0]!, entry[1]!];
      const covered = Math.min(page + format.slotPages - 1, last) - Math.max(page, first) + 1;
      const kind = kindOf(format, lo, hi);
      if (kind === ENTRY_LEAF) {
        if (isCounted(format, lo, hi)) resident += covered;
      } else if (kind === ENTRY_ABSENT) {
        if ((lo | hi) !== 0) countAbsent(u64Of(lo, hi), format.level, covered);
      } else if (kind !== ENTRY_RESERVED) {
        look(paging.byLevel[format.level - 1]!, paOf(tableGfn(format, lo, hi)), page);
      }
    }
  };
  const countAbsent = (value: bigint, level: number, covered: number): void => {
    const kind = meaningOf(types, value, level)?.kind;
    if (kind === 'swapped') swapped += covered;
    if (kind === 'inaccessible' || kind === 'migrating' || kind === 'changing') resident += covered;
  };
  const isCounted = (format: LevelFormat, lo: number, hi: number): boolean => {
    if ((lo & SPECIAL) !== 0) return false;
    // The large page of zeroes is not marked, but never writable.
    return (
      format.level === 1 || (lo & WRITABLE) !== 0 || !isZero(memory, paOf(leafGfn(format, lo, hi)), format.slotPages)
    );
  };
  look(paging.levels[0]!, root, 0);
  if (missing.length > 0) throw new PtmonError('not-fetched', 'page tables are not fetched yet', { missing });
  return { resident, swapped };
}

/** Whether a large page holds zeroes only. @throws PtmonError `not-fetched` */
function isZero(memory: PhysicalMemory, pa: number, pages: number): boolean {
  const entry = new Uint32Array(2);
  for (let at = pa; at < pa + pages * PAGE_BYTES; at += 8) {
    const outcome = memory.readEntry(at, 8, entry);
    if (outcome === READ_NOT_FETCHED)
      throw new PtmonError('not-fetched', 'a page is not fetched yet', { missing: [at] });
    if (outcome !== READ_OK || entry[0] !== 0 || entry[1] !== 0) return false;
  }
  return true;
}
