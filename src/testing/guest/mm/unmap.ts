/** Taking pages away from an address space (mm/memory.c, zap_page_range). The caller has its lock exclusively. */
import type { Steps } from '../../workload.ts';
import type { AddressSpace } from '../space/address-space.ts';
import { isProtNone, PRESENT } from '../tables/entry.ts';
import type { Cpu, Kernel } from '../kernel.ts';
import type { Found } from '../tables/kernel-memory.ts';
import { splitLargePage } from './large-page.ts';
import { unmapSelf } from './spaces.ts';
import { freeTables, setEntry } from '../tables/tables.ts';

/** Clears the entries of a range and releases the frames or swap slots behind them. Takes a frame for each large page that it cuts. */
export function* zap(cpu: Cpu, space: AddressSpace, start: number, end: number): Steps {
  const { kernel } = cpu;
  const { codec, memory, paging, swap } = kernel;
  const found: Found = { vpn: 0, level: 0, pa: 0, lo: 0, hi: 0 };
  for (let vpn = start; memory.seek(space.root, vpn, end, found); ) {
    const { level, pa, lo, hi } = found;
    const { slotPages } = paging.byLevel[level]!;
    const behind = found.vpn + slotPages;
    if (found.vpn < start || behind > end) {
      yield* splitLargePage(cpu, space, found.vpn);
      continue;
    }
    yield* setEntry(cpu, space, { level, pa, lo: 0, hi: 0 });
    if (lo & PRESENT || isProtNone(lo)) {
      const gfn = codec.gfnOf(lo, hi);
      for (let n = 0; n < slotPages; n++) kernel.dropPage(gfn + n);
    } else {
      swap.drop(codec.swapOffset(lo));
    }
    vpn = behind;
  }
}

/** Unmaps everything and frees all tables but the roots (the kernel's exit_mmap). */
export function* unmapAll(cpu: Cpu, space: AddressSpace): Steps {
  const { kernel } = cpu;
  const areas = space.areas.all;
  for (const { start, pages } of areas) yield* zap(cpu, space, start, start + pages);
  space.areas.clear();
  yield* freeTables(cpu, space, areas);
  yield* unmapSelf(cpu, space);
  if (kernel.smallRoots) {
    const pages = kernel.layout.kernelSlot * kernel.paging.levels[0]!.slotPages;
    yield* freeTables(cpu, space, [{ start: 0, pages }], true);
  }
}

/** Frames of the tables that would be needed to move or copy this many pages, wherever they begin. */
export function tableFrames(kernel: Kernel, pages: number): number {
  return Math.ceil(pages / kernel.paging.byLevel[1]!.slots) + kernel.paging.mode.tables.length + 2;
}
