/** Changing what may be done to mapped pages (mm/mprotect.c). The caller has the space's lock exclusively. */
import type { Steps } from '../../workload.ts';
import type { AddressSpace } from '../space/address-space.ts';
import type { Area } from '../space/area-list.ts';
import { isProtNone, PRESENT } from '../tables/entry.ts';
import { FRAME_ANON } from '../frames/frame-allocator.ts';
import type { Cpu, Kernel } from '../kernel.ts';
import type { Found } from '../tables/kernel-memory.ts';
import { splitLargePage } from './large-page.ts';
import { leafHi, leafLo } from '../tables/leaf.ts';
import { setEntry } from '../tables/tables.ts';

/**
 * Gives every mapped page of an area the area's rights, each with one write. A page becomes writable only where it is its
 * process's alone; the others wait for a write to be copied. Takes a frame for each large page that must be split.
 */
export function* changeProtection(cpu: Cpu, space: AddressSpace, area: Area): Steps {
  const { kernel } = cpu;
  const { codec, memory, paging } = kernel;
  const end = area.start + area.pages;
  const found: Found = { vpn: 0, level: 0, pa: 0, lo: 0, hi: 0 };
  for (let vpn = area.start; memory.seek(space.root, vpn, end, found); ) {
    const { level, pa, lo, hi } = found;
    const behind = found.vpn + paging.byLevel[level]!.slotPages;
    if (level > 1 && (!area.readable || found.vpn < area.start || behind > end)) {
      yield* splitLargePage(cpu, space, found.vpn);
      continue;
    }
    vpn = behind;
    if (!(lo & PRESENT) && !isProtNone(lo)) continue;
    const gfn = codec.gfnOf(lo, hi);
    const presentLo = leafLo(kernel, gfn, area.writable && mayWrite(kernel, gfn), level);
    const presentHi = leafHi(kernel, area, gfn, level);
    const newLo = (area.readable ? presentLo : codec.protNoneLo(presentLo)) | 0;
    const newHi = (area.readable ? presentHi : codec.protNoneHi(presentHi)) | 0;
    if (newLo !== (lo | 0) || newHi !== (hi | 0)) {
      yield* setEntry(cpu, space, { level, pa, lo: newLo, hi: newHi });
    }
  }
}

function mayWrite(kernel: Kernel, gfn: number): boolean {
  return kernel.frames.kindOf(gfn) === FRAME_ANON && kernel.frames.references(gfn) === 1;
}
