/** The kernel's own memory: regions that it maps for itself, seen by every process, and plain data (mm/vmalloc.c, mm/slab.c). */
import { PAGE_BYTES, paOf } from '../../../core/address/pa.ts';
import { ENTRY_LEAF, ENTRY_TABLE, kindOf } from '../../../core/paging/format.ts';
import { FOR_WRITE } from '../../machine/mmu.ts';
import type { Steps } from '../../workload.ts';
import { mapKernelLeaf } from '../boot.ts';
import { WRITABLE } from '../tables/entry.ts';
import { FRAME_KERNEL } from '../frames/frame-allocator.ts';
import type { Cpu, Kernel } from '../kernel.ts';
import { splitLargePage } from '../mm/large-page.ts';
import type { KernelRegion } from '../tables/layout.ts';
import { setEntry } from '../tables/tables.ts';
import type { KernelAction } from './action-kind.ts';

const MOST_PAGES = 16;
const MOST_MAPPINGS = 40;
/** It keeps at least these. */
const FEW_MAPPINGS = 8;
const MOST_SLABS = 64;
/** One mapping in so many is a module's. */
const MODULE = 5;

export const vmalloc: KernelAction = {
  weight: 14,
  frames: (kernel) => MOST_PAGES + kernel.paging.mode.tables.length + 2,
  begin(cpu) {
    const { kernel } = cpu;
    if (kernel.mappings.length >= MOST_MAPPINGS) return undefined;
    const { layout, random } = kernel;
    const region = random.oneIn(MODULE) ? layout.modules : layout.vmalloc;
    const pages = random.between(1, MOST_PAGES);
    return map(cpu, region, pages);
  },
};

export const vfree: KernelAction = {
  weight: 13,
  frames: () => 0,
  begin: (cpu) => (cpu.kernel.mappings.length <= FEW_MAPPINGS ? undefined : unmapOne(cpu)),
};

/** Frames for plain kernel data: writes of any width, at any address, across the border of two frames. */
export const slab: KernelAction = {
  weight: 30,
  frames: () => 2,
  begin: (cpu) => useSlab(cpu),
};

/** Part of the direct map gets other rights, so its large page is split (arch/x86/mm/pat/set_memory.c); later it is whole again. */
export const splitDirectMap: KernelAction = {
  weight: 4,
  frames: () => 1,
  begin: (cpu) => toggleDirectMap(cpu),
};

function* map(cpu: Cpu, region: KernelRegion, pages: number): Steps {
  const { kernel, vcpu } = cpu;
  yield* kernel.lockRoots();
  const start = freeRange(kernel, region, pages);
  if (start >= 0) {
    kernel.log.note(vcpu, undefined, 'vmalloc', { vpn: start, pages });
    const frames: number[] = [];
    for (let page = 0; page < pages; page++) {
      const gfn = kernel.frames.take(FRAME_KERNEL);
      frames.push(gfn);
      yield* mapKernelLeaf(cpu, kernel.master, { vpn: start + page, level: 1, gfn, flags: WRITABLE });
    }
    kernel.mappings.push({ start, frames });
    yield* useMapping(cpu, start, frames);
  }
  kernel.unlockRoots();
}

/** Writes to the first page through the MMU, in whatever space the vCPU is: all of them must have it. */
function* useMapping(cpu: Cpu, start: number, frames: readonly number[]): Steps {
  const { kernel, vcpu } = cpu;
  const { machine, processes, random } = kernel;
  if (processes.length > 0) kernel.enter(vcpu, random.pick(processes).space, false);
  const gfn = machine.translate(vcpu, start, FOR_WRITE);
  if (gfn !== frames[0]) throw new Error(`a space does not see page ${start} of the kernel: ${JSON.stringify(gfn)}`);
  if (machine.write(vcpu, paOf(gfn), new Uint8Array(32).fill(random.next()))) yield;
}

/** Clears the entries of some mapping and frees its frames; the tables stay, as Linux keeps them. */
export function* unmapOne(cpu: Cpu): Steps {
  const { kernel, vcpu } = cpu;
  const { mappings, master, memory, random } = kernel;
  yield* kernel.lockRoots();
  const [mapping] = mappings.splice(random.below(mappings.length), 1);
  if (mapping !== undefined) {
    const { start, frames } = mapping;
    kernel.log.note(vcpu, undefined, 'vfree', { vpn: start, pages: frames.length });
    for (const [page, gfn] of frames.entries()) {
      const pa = memory.entryAt(master.root, start + page, 1);
      yield* setEntry(cpu, master, { level: 1, pa, lo: 0, hi: 0 });
      kernel.frames.drop(gfn);
    }
  }
  kernel.unlockRoots();
}

/** A free range behind some random page, so that the region grows new tables from time to time; -1 where none is found. */
function freeRange(kernel: Kernel, region: KernelRegion, pages: number): number {
  for (let attempt = 0; attempt < 4; attempt++) {
    const start = region.start + kernel.random.below(region.pages - pages);
    const end = start + pages;
    if (!kernel.mappings.some((one) => one.start < end && one.start + one.frames.length > start)) return start;
  }
  return -1;
}

function* useSlab(cpu: Cpu): Steps {
  const { kernel, vcpu } = cpu;
  const { frames, machine, random, slabs } = kernel;
  kernel.log.note(vcpu, undefined, 'slab');
  if (slabs.length < 4 || (slabs.length < MOST_SLABS && random.oneIn(2))) {
    const gfn = frames.takePair(FRAME_KERNEL, false);
    if (gfn >= 0) {
      slabs.push(gfn);
      const bytes = new Uint8Array(random.between(1, 512)).map(() => random.next());
      const border = paOf(gfn + 1);
      if (machine.write(vcpu, border - random.between(0, bytes.length), bytes)) yield;
      if (machine.write(vcpu, paOf(gfn, random.below(PAGE_BYTES)), bytes.subarray(0, 17))) yield;
    }
  } else {
    const [gfn] = slabs.splice(random.below(slabs.length), 1);
    frames.drop(gfn!);
    frames.drop(gfn! + 1);
  }
}

function* toggleDirectMap(cpu: Cpu): Steps {
  const { kernel } = cpu;
  const { layout, machine, master, memory, paging, random } = kernel;
  const format = paging.byLevel[2]!;
  const gfn = random.pick(machine.ram).gfn;
  const vpn = layout.directMap + gfn - (gfn % format.slotPages);
  yield* kernel.lockRoots();
  const pa = memory.entryAt(master.root, vpn, 2);
  if (pa >= 0) {
    memory.load(pa);
    const kind = kindOf(format, memory.lo, memory.hi);
    if (kind === ENTRY_LEAF) yield* splitLargePage(cpu, master, vpn);
    else if (kind === ENTRY_TABLE) yield* makeWhole(cpu, vpn);
  }
  kernel.unlockRoots();
}

/** One large leaf again in place of the table that maps the same frames. */
function* makeWhole(cpu: Cpu, vpn: number): Steps {
  const { kernel, vcpu } = cpu;
  const { codec, frames, master, memory, paging } = kernel;
  const { slotPages } = paging.byLevel[2]!;
  const table = codec.gfnOf(memory.lo, memory.hi);
  kernel.log.note(vcpu, undefined, 'collapse', { vpn, pages: slotPages });
  memory.load(paOf(table));
  const gfn = codec.gfnOf(memory.lo, memory.hi);
  yield* mapKernelLeaf(cpu, master, { vpn, level: 2, gfn, flags: WRITABLE });
  frames.drop(table);
  master.tables--;
}
