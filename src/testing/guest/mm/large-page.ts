/** Large pages of processes (the kernel's transparent huge pages, mm/huge_memory.c). Always at level 2. */
import { gfnOf, paOf } from '../../../core/address/pa.ts';
import { ENTRY_LEAF, kindOf } from '../../../core/paging/format.ts';
import type { Steps } from '../../workload.ts';
import type { AddressSpace } from '../space/address-space.ts';
import type { Area } from '../space/area-list.ts';
import { DIRTY, LARGE, PRESENT, tableFlags, USER } from '../tables/entry.ts';
import { FRAME_ANON, FRAME_TABLE } from '../frames/frame-allocator.ts';
import type { Cpu, Kernel } from '../kernel.ts';
import { leafHi, leafLo } from '../tables/leaf.ts';
import { ensureTables, setEntry } from '../tables/tables.ts';

/** 4 KiB pages of a large one: 512, or 1024 in legacy paging. */
export function largePages(kernel: Kernel): number {
  return kernel.paging.byLevel[2]!.slotPages;
}

/** Whether the large page around `vpn` lies within an area that may have one. */
export function mayBeLarge(kernel: Kernel, area: Area, vpn: number): boolean {
  const pages = largePages(kernel);
  const base = vpn - (vpn % pages);
  return area.file === undefined && area.writable && base >= area.start && base + pages <= area.start + area.pages;
}

/** Maps a fresh large page around `vpn`, if one is free and nothing is mapped yet. Returns whether it did. */
export function* mapLargePage(cpu: Cpu, space: AddressSpace, area: Area, vpn: number): Steps<boolean> {
  const { kernel, vcpu } = cpu;
  const { frames, memory } = kernel;
  const pages = largePages(kernel);
  const pa = yield* ensureTables(cpu, space, vpn, 2);
  memory.load(pa);
  if ((memory.lo | memory.hi) !== 0) return false;
  const gfn = frames.takeLarge(FRAME_ANON, Math.log2(pages));
  if (gfn < 0) return false;
  yield* memory.clearFrames(vcpu, gfn, pages);
  yield* memory.lock(gfnOf(pa));
  memory.load(pa);
  const stillEmpty = (memory.lo | memory.hi) === 0;
  if (stillEmpty) {
    kernel.log.note(vcpu, kernel.processIn(space), 'fault', { vpn: vpn - (vpn % pages), pages });
    yield* setEntry(cpu, space, { level: 2, pa, lo: leafLo(kernel, gfn, true, 2), hi: leafHi(kernel, area, gfn, 2) });
  } else {
    for (let n = 0; n < pages; n++) frames.drop(gfn + n);
  }
  memory.unlock(gfnOf(pa));
  return stillEmpty;
}

/**
 * Splits the large page around `vpn`: a page table with the same frames takes its place, in one write, or as Linux does it
 * with the entry absent for a moment (`pmdp_invalidate`). Takes a frame. The caller may hold the space's lock shared.
 */
export function* splitLargePage(cpu: Cpu, space: AddressSpace, vpn: number): Steps {
  const { kernel, vcpu } = cpu;
  const { codec, frames, memory, paging } = kernel;
  const format = paging.byLevel[2]!;
  const pa = memory.entryAt(space.root, vpn, 2);
  if (pa < 0) return;
  yield* memory.lock(gfnOf(pa));
  memory.load(pa);
  const { lo, hi } = memory;
  if (kindOf(format, lo, hi) === ENTRY_LEAF) {
    kernel.log.note(vcpu, kernel.processIn(space), 'split', {
      vpn: vpn - (vpn % format.slotPages),
      pages: format.slotPages,
    });
    const table = frames.take(FRAME_TABLE);
    yield* memory.write(vcpu, paOf(table), sameFrames(kernel, lo, hi));
    if (space !== kernel.master && kernel.random.oneIn(2))
      yield* setEntry(cpu, space, { level: 2, pa, lo: lo & ~PRESENT, hi });
    space.tables++;
    const flags = tableFlags(format, (lo & USER) !== 0);
    yield* setEntry(cpu, space, {
      level: 2,
      pa,
      lo: codec.addressLo(table) | flags,
      hi: codec.addressHi(table),
    });
  }
  memory.unlock(gfnOf(pa));
}

/** A page table that maps what a large leaf maps. */
function sameFrames(kernel: Kernel, lo: number, hi: number): Uint8Array {
  const { codec, paging } = kernel;
  const { slots } = paging.byLevel[1]!;
  const first = codec.gfnOf(lo, hi);
  const wide = paging.mode.entryBytes === 8;
  const words = new Uint32Array(1024);
  for (let slot = 0; slot < slots; slot++) {
    const word = codec.addressLo(first + slot) | (lo & 0xfff & ~LARGE);
    words[wide ? slot * 2 : slot] = word;
    if (wide) words[slot * 2 + 1] = hi;
  }
  return new Uint8Array(words.buffer);
}

/** What khugepaged makes of the small pages of a large one: one large page, their content copied (mm/khugepaged.c). */
export function* collapse(cpu: Cpu, space: AddressSpace, area: Area, base: number): Steps {
  const { kernel, vcpu } = cpu;
  const { codec, frames, memory, paging } = kernel;
  const pages = largePages(kernel);
  const pa = memory.entryAt(space.root, base, 2);
  const large = frames.takeLarge(FRAME_ANON, Math.log2(pages));
  if (large < 0) return;
  kernel.log.note(vcpu, kernel.processIn(space), 'collapse', { vpn: base, pages });
  memory.load(pa);
  const table = codec.gfnOf(memory.lo, memory.hi);
  yield* setEntry(cpu, space, { level: 2, pa, lo: 0, hi: 0 });

  for (let page = 0; page < pages; page++) {
    const entry = paOf(table, page * paging.mode.entryBytes);
    memory.load(entry);
    if ((memory.lo & PRESENT) === 0) {
      yield* memory.clearFrames(vcpu, large + page);
      continue;
    }
    const gfn = codec.gfnOf(memory.lo, memory.hi);
    yield* memory.copyFrame(vcpu, gfn, large + page);
    yield* memory.set(vcpu, entry, 0, 0);
    kernel.dropPage(gfn);
  }
  const lo = leafLo(kernel, large, true, 2) | DIRTY;
  yield* setEntry(cpu, space, { level: 2, pa, lo, hi: leafHi(kernel, area, large, 2) });
  frames.drop(table);
  space.tables--;
}
