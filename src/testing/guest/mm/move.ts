/** Moving mapped pages to other addresses (mm/mremap.c, move_page_tables). The caller has the lock exclusively. */
import { ENTRY_TABLE, kindOf } from '../../../core/paging/format.ts';
import type { Steps } from '../../workload.ts';
import type { AddressSpace } from '../space/address-space.ts';
import type { Area } from '../space/area-list.ts';
import type { Cpu } from '../kernel.ts';
import type { Found } from '../tables/kernel-memory.ts';
import { largePages, splitLargePage } from './large-page.ts';
import { ensureTables, setEntry } from '../tables/tables.ts';

/**
 * Moves all entries of an area to `start`, which has the same place within a large page. What fills a whole page table moves
 * with it in one go; large pages stay large where they lie within the area. No table can be in the way: those without areas
 * were freed with their last one.
 */
export function* moveEntries(cpu: Cpu, space: AddressSpace, area: Area, start: number): Steps {
  const { kernel } = cpu;
  const { memory, paging } = kernel;
  const large = largePages(kernel);
  const end = area.start + area.pages;
  const by = start - area.start;
  const found: Found = { vpn: 0, level: 0, pa: 0, lo: 0, hi: 0 };
  for (let vpn = area.start; vpn < end; ) {
    if (vpn % large === 0 && vpn + large <= end && (yield* moveTable(cpu, space, vpn, vpn + by))) {
      vpn += large;
      continue;
    }
    const stop = Math.min(end, vpn - (vpn % large) + large);
    if (!memory.seek(space.root, vpn, stop, found)) {
      vpn = stop;
      continue;
    }
    const { level, pa, lo, hi } = found;
    const behind = found.vpn + paging.byLevel[level]!.slotPages;
    if (found.vpn < area.start || behind > end) {
      yield* splitLargePage(cpu, space, found.vpn);
      continue;
    }
    const target = yield* ensureTables(cpu, space, found.vpn + by, level);
    yield* setEntry(cpu, space, { level, pa, lo: 0, hi: 0 });
    yield* setEntry(cpu, space, { level, pa: target, lo, hi });
    vpn = behind;
  }
}

/** Moves the page table of a whole large page's span (move_normal_pmd). Returns whether there was one to move. */
function* moveTable(cpu: Cpu, space: AddressSpace, from: number, to: number): Steps<boolean> {
  const { kernel } = cpu;
  const { memory, paging } = kernel;
  const format = paging.byLevel[2]!;
  const pa = memory.entryAt(space.root, from, 2);
  if (pa < 0) return false;
  memory.load(pa);
  const { lo, hi } = memory;
  if (kindOf(format, lo, hi) !== ENTRY_TABLE) return false;
  const target = yield* ensureTables(cpu, space, to, 2);
  yield* setEntry(cpu, space, { level: 2, pa, lo: 0, hi: 0 });
  yield* setEntry(cpu, space, { level: 2, pa: target, lo, hi });
  return true;
}
