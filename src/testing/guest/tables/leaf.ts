/** The leaves of user memory: what an area allows, as an entry. */
import type { Area } from '../space/area-list.ts';
import { ACCESSED, DIRTY, LARGE, NO_EXECUTE, PRESENT, USER, WRITABLE } from './entry.ts';
import type { Kernel } from '../kernel.ts';

/** The low word of a leaf that maps `gfn` for an area; `writable` says whether it may be written now, too. */
export function leafLo(kernel: Kernel, gfn: number, writable: boolean, level = 1): number {
  const flags = PRESENT | USER | ACCESSED | (writable ? WRITABLE | DIRTY : 0) | (level > 1 ? LARGE : 0);
  return kernel.codec.addressLo(gfn) | flags;
}

/** Its high word, with the area's protection key where the mode has them. */
export function leafHi(kernel: Kernel, area: Area, gfn: number, level = 1): number {
  const format = kernel.paging.byLevel[level]!;
  const noExecute = area.executable || format.noExecuteMask === 0 ? 0 : NO_EXECUTE;
  return kernel.codec.addressHi(gfn) | noExecute | ((area.key & format.keyMask) << 27);
}
