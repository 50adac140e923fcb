/** The kernel takes pages away, or puts them elsewhere, behind the programs' backs (mm/vmscan.c, mm/migrate.c). */
import { paOf } from '../../../core/address/pa.ts';
import type { Transfer } from '../../machine/machine.ts';
import type { Steps } from '../../workload.ts';
import type { Area } from '../space/area-list.ts';
import { MIGRATION_TYPE, PRESENT } from '../tables/entry.ts';
import { FRAME_ANON } from '../frames/frame-allocator.ts';
import type { Cpu, Kernel } from '../kernel.ts';
import type { Found } from '../tables/kernel-memory.ts';
import type { Process } from '../space/process.ts';
import type { KernelAction, ProcessAction } from './action-kind.ts';

const MOST_SWAPPED = 8;
const MOST_MIGRATED = 4;
const SWAP_TYPE = 1;

export const swapOut: ProcessAction = {
  weight: 30,
  exclusive: true,
  frames: () => 0,
  begin(cpu, process) {
    const { kernel } = cpu;
    const pages = kernel.swap.full ? [] : somePrivatePages(kernel, process, MOST_SWAPPED);
    return pages.length === 0 ? undefined : swapPagesOut(cpu, process, pages);
  },
};

export const migrate: ProcessAction = {
  weight: 10,
  exclusive: true,
  frames: () => MOST_MIGRATED,
  begin(cpu, process) {
    const { kernel } = cpu;
    const pages = somePrivatePages(kernel, process, MOST_MIGRATED);
    return pages.length === 0 ? undefined : migratePages(cpu, process, pages);
  },
};

/** A page moved by a device, entry and all: nothing traps. Only where it is asked for. */
export const moveByDevice: ProcessAction = {
  weight: 0,
  exclusive: true,
  frames: () => 1,
  begin(cpu, process) {
    const { kernel } = cpu;
    const [page] = somePrivatePages(kernel, process, 1);
    return page && transferPage(cpu, process, page);
  },
};

/** Frees cached file pages without a mapping. */
export const reclaim: KernelAction = {
  weight: 2,
  frames: () => 0,
  begin: (cpu) => shrink(cpu),
};

function* swapPagesOut(cpu: Cpu, process: Process, pages: readonly Found[]): Steps {
  const { kernel, vcpu } = cpu;
  const { codec, frames, memory, swap } = kernel;
  for (const { vpn, pa, lo, hi } of pages) {
    kernel.log.note(vcpu, process, 'swap-out', { vpn, pages: 1 });
    const gfn = codec.gfnOf(lo, hi);
    // First it is unmapped, then written out (try_to_unmap, pageout).
    yield* memory.set(vcpu, pa, 0, 0);
    const offset = swap.store(memory.words(gfn));
    yield* memory.set(vcpu, pa, codec.swapLo(SWAP_TYPE, offset), codec.swapHi(SWAP_TYPE, offset));
    frames.drop(gfn);
  }
}

function* migratePages(cpu: Cpu, process: Process, pages: readonly Found[]): Steps {
  const { kernel, vcpu } = cpu;
  const { codec, frames, memory } = kernel;
  for (const { vpn, pa, lo, hi } of pages) {
    kernel.log.note(vcpu, process, 'migrate', { vpn, pages: 1 });
    const from = codec.gfnOf(lo, hi);
    const to = frames.take(FRAME_ANON);
    yield* memory.set(vcpu, pa, codec.swapLo(MIGRATION_TYPE, from), codec.swapHi(MIGRATION_TYPE, from));
    yield* memory.copyFrame(vcpu, from, to);
    const [newLo, newHi] = elsewhere(kernel, lo, hi, to);
    yield* memory.set(vcpu, pa, newLo, newHi);
    frames.drop(from);
  }
}

function* transferPage(cpu: Cpu, process: Process, { vpn, pa, lo, hi }: Found): Steps {
  const { kernel, vcpu } = cpu;
  const { codec, frames, machine } = kernel;
  kernel.log.note(vcpu, process, 'dma', { vpn, pages: 1 });
  const from = codec.gfnOf(lo, hi);
  const to = frames.take(FRAME_ANON);
  machine.dma(transfers(kernel, from, to, { pa, words: elsewhere(kernel, lo, hi, to) }));
  // Reported before the old frame is reused.
  yield;
  frames.drop(from);
}

/** The copy of a frame, and the entry that leads to the copy. */
function transfers(kernel: Kernel, from: number, to: number, entry: { pa: number; words: number[] }): Transfer[] {
  const page = kernel.memory.words(from).slice();
  const words = Uint32Array.from(entry.words);
  return [
    { pa: paOf(to), bytes: new Uint8Array(page.buffer) },
    { pa: entry.pa, bytes: new Uint8Array(words.buffer, 0, kernel.paging.mode.entryBytes) },
  ];
}

/** The same entry for another frame. */
function elsewhere(kernel: Kernel, lo: number, hi: number, gfn: number): [lo: number, hi: number] {
  const { codec } = kernel;
  return [(lo & 0xfff) | codec.addressLo(gfn), (hi & 0xfff00000) | codec.addressHi(gfn)];
}

function* shrink(cpu: Cpu): Steps {
  const { kernel, vcpu } = cpu;
  kernel.log.note(vcpu, undefined, 'reclaim');
  kernel.shrinkFiles(32);
}

/** Small pages behind each other in some area, with no other mapping. */
function somePrivatePages(kernel: Kernel, process: Process, most: number): Found[] {
  const { random, memory } = kernel;
  const areas = process.space.areas.all.filter((area) => area.writable && !area.shared);
  if (areas.length === 0) return [];
  const area: Area = random.pick(areas);
  const end = area.start + area.pages;
  const pages: Found[] = [];
  const found: Found = { vpn: 0, level: 0, pa: 0, lo: 0, hi: 0 };
  let vpn = area.start + random.below(area.pages);
  while (pages.length < most && memory.seek(process.space.root, vpn, end, found)) {
    vpn = found.vpn + kernel.paging.byLevel[found.level]!.slotPages;
    if (found.level === 1 && found.lo & PRESENT && isPrivate(kernel, found)) pages.push({ ...found });
  }
  return pages;
}

function isPrivate(kernel: Kernel, { lo, hi }: Found): boolean {
  const gfn = kernel.codec.gfnOf(lo, hi);
  return kernel.frames.kindOf(gfn) === FRAME_ANON && kernel.frames.references(gfn) === 1;
}
