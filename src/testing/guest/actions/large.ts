/** Large pages come and go (mm/khugepaged.c, mm/huge_memory.c). */
import { ENTRY_LEAF, ENTRY_TABLE, kindOf } from '../../../core/paging/format.ts';
import type { Steps } from '../../workload.ts';
import type { AddressSpace } from '../space/address-space.ts';
import type { Area } from '../space/area-list.ts';
import { PRESENT } from '../tables/entry.ts';
import { FRAME_ANON } from '../frames/frame-allocator.ts';
import type { Cpu, Kernel } from '../kernel.ts';
import type { Found } from '../tables/kernel-memory.ts';
import { collapse, largePages, mayBeLarge, splitLargePage } from '../mm/large-page.ts';
import type { ProcessAction } from './action-kind.ts';

export const collapseSmallPages: ProcessAction = {
  weight: 14,
  exclusive: true,
  frames: () => 0,
  begin(cpu, process) {
    const { kernel } = cpu;
    const { space } = process;
    const place = somePlace(kernel, space, (area, base) => mayCollapse(kernel, space, area, base));
    return place && collapse(cpu, space, place.area, place.base);
  },
};

export const splitSomeLargePage: ProcessAction = {
  weight: 10,
  exclusive: true,
  frames: () => 1,
  begin(cpu, process) {
    const { kernel } = cpu;
    const { space } = process;
    const place = somePlace(kernel, space, (_area, base) => kindAt(kernel, space, base) === ENTRY_LEAF);
    return place && split(cpu, space, place.base);
  },
};

function split(cpu: Cpu, space: AddressSpace, base: number): Steps {
  return splitLargePage(cpu, space, base);
}

interface Place {
  readonly area: Area;
  /** First page of the large page. */
  readonly base: number;
}

/** One of the places in this space where a large page fits, and that passes the test. */
function somePlace(
  kernel: Kernel,
  space: AddressSpace,
  test: (area: Area, base: number) => boolean,
): Place | undefined {
  const pages = largePages(kernel);
  const places: Place[] = [];
  for (const area of space.areas.all) {
    const first = Math.ceil(area.start / pages) * pages;
    for (let base = first; base + pages <= area.start + area.pages; base += pages) {
      if (mayBeLarge(kernel, area, base) && test(area, base)) places.push({ area, base });
    }
  }
  return places.length === 0 ? undefined : kernel.random.pick(places);
}

function kindAt(kernel: Kernel, space: AddressSpace, base: number): number {
  const { memory, paging } = kernel;
  const pa = memory.entryAt(space.root, base, 2);
  if (pa < 0) return -1;
  memory.load(pa);
  return kindOf(paging.byLevel[2]!, memory.lo, memory.hi);
}

/** Whether there is a page table with at least one page, and every page in it is the process's alone, or a zero page. */
function mayCollapse(kernel: Kernel, space: AddressSpace, area: Area, base: number): boolean {
  if (!area.readable || kindAt(kernel, space, base) !== ENTRY_TABLE) return false;
  const { codec, frames, memory } = kernel;
  const found: Found = { vpn: 0, level: 0, pa: 0, lo: 0, hi: 0 };
  const end = base + largePages(kernel);
  let pages = 0;
  for (let vpn = base; memory.seek(space.root, vpn, end, found); vpn = found.vpn + 1) {
    if ((found.lo & PRESENT) === 0) return false;
    const gfn = codec.gfnOf(found.lo, found.hi);
    if (gfn === kernel.zeroPage) continue;
    if (frames.kindOf(gfn) !== FRAME_ANON || frames.references(gfn) > 1) return false;
    pages++;
  }
  return pages > 0;
}
