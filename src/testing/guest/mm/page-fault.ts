/** The page fault handler (mm/memory.c, handle_mm_fault). The caller has the space's lock, at least shared. */
import { gfnOf, PAGE_BYTES } from '../../../core/address/pa.ts';
import { type Fault, FOR_EXECUTE, FOR_USER, FOR_WRITE } from '../../machine/mmu.ts';
import type { Steps } from '../../workload.ts';
import type { Area } from '../space/area-list.ts';
import { DIRTY, PRESENT, WRITABLE } from '../tables/entry.ts';
import { FRAME_ANON } from '../frames/frame-allocator.ts';
import type { Cpu } from '../kernel.ts';
import { mapLargePage, mayBeLarge, splitLargePage } from './large-page.ts';
import { leafHi, leafLo } from '../tables/leaf.ts';
import type { Process } from '../space/process.ts';
import type { SharedFile } from '../space/shared-file.ts';
import { ensureTables } from '../tables/tables.ts';

/** Frames that one fault takes at most: four tables, the page, its copy, a page of a file, the table of a split. */
export const FAULT_FRAMES = 8;

/** One first touch in so many of memory where a large page fits gets one. */
const LARGE_FAULT = 4;
/** Cached pages of a file around the one that was asked for that are mapped with it (do_fault_around). */
const FAULT_AROUND = 4;

/** A fault that is being resolved (struct vm_fault). */
interface VmFault {
  readonly process: Process;
  readonly area: Area;
  readonly vpn: number;
  readonly write: boolean;
  /** The entry's physical address. */
  readonly pa: number;
}

/** Makes the access possible. Returns whether the program may go on; otherwise it had no right to it. */
export function* handleFault(cpu: Cpu, process: Process, { vector, vpn, errorCode }: Fault): Steps<boolean> {
  const { kernel } = cpu;
  const { space } = process;
  const area = space.areas.find(vpn);
  if (vector !== 14 || area === undefined || !permits(area, errorCode)) return false;

  if (mayBeLarge(kernel, area, vpn) && kernel.random.oneIn(LARGE_FAULT)) {
    if (yield* mapLargePage(cpu, space, area, vpn)) return true;
  }
  let pa = yield* ensureTables(cpu, space, vpn, 1);
  if (pa < 0) {
    // A large page that is not writable: shared since a fork. It is split, and the one page copied.
    yield* splitLargePage(cpu, space, vpn);
    pa = yield* ensureTables(cpu, space, vpn, 1);
  }
  checkSelfMap(cpu, vpn, gfnOf(pa));
  const lock = gfnOf(pa);
  yield* kernel.memory.lock(lock);
  yield* resolve(cpu, { process, area, vpn, write: (errorCode & FOR_WRITE) !== 0, pa });
  kernel.memory.unlock(lock);
  return true;
}

function permits(area: Area, errorCode: number): boolean {
  if (errorCode & FOR_WRITE) return area.readable && area.writable;
  return area.readable && (area.executable || (errorCode & FOR_EXECUTE) === 0);
}

/** What the entry says decides: another vCPU may have been here first. */
function* resolve(cpu: Cpu, fault: VmFault): Steps {
  const { codec, memory } = cpu.kernel;
  memory.load(fault.pa);
  const { lo, hi } = memory;
  if (lo & PRESENT) {
    if (fault.write && (lo & WRITABLE) === 0) yield* writeToReadOnly(cpu, fault, lo, hi);
  } else if (codec.isSwap(lo, hi)) {
    yield* swapIn(cpu, fault, codec.swapOffset(lo));
  } else if (fault.area.file === undefined) {
    yield* firstTouch(cpu, fault);
  } else {
    yield* mapFilePage(cpu, fault, fault.area.file);
  }
}

/** Untouched anonymous memory: a page of zeroes, shared as long as it is only read. */
function* firstTouch(cpu: Cpu, { process, area, vpn, write, pa }: VmFault): Steps {
  const { kernel, vcpu } = cpu;
  const { frames, memory, zeroPage } = kernel;
  kernel.log.note(vcpu, process, 'fault', { vpn, pages: 1 });
  const gfn = write ? frames.take(FRAME_ANON) : zeroPage;
  if (write) yield* memory.clearFrames(vcpu, gfn);
  yield* memory.set(vcpu, pa, leafLo(kernel, gfn, write), leafHi(kernel, area, gfn));
}

function* mapFilePage(cpu: Cpu, fault: VmFault, file: SharedFile): Steps {
  const { kernel, vcpu } = cpu;
  const { frames, memory } = kernel;
  const { process, area, vpn, write, pa } = fault;
  kernel.log.note(vcpu, process, 'fault', { vpn, pages: 1 });
  const gfn = yield* file.hold(area.filePage + vpn - area.start, vcpu, memory, frames);
  if (write && !area.shared) {
    const copy = frames.take(FRAME_ANON);
    yield* memory.copyFrame(vcpu, gfn, copy);
    frames.drop(gfn);
    yield* memory.set(vcpu, pa, leafLo(kernel, copy, true), leafHi(kernel, area, copy));
    return;
  }
  const writable = area.shared && area.writable;
  yield* memory.set(vcpu, pa, leafLo(kernel, gfn, writable), leafHi(kernel, area, gfn));
  if (!write) yield* mapAround(cpu, fault, file);
}

/** Maps the pages of the file behind this one that are in memory anyway, within the same page table. */
function* mapAround({ kernel, vcpu }: Cpu, { area, vpn, pa }: VmFault, file: SharedFile): Steps {
  const { frames, memory } = kernel;
  const { entryBytes } = kernel.paging.mode;
  for (let n = 1; n <= FAULT_AROUND; n++) {
    const at = pa + n * entryBytes;
    if (at % PAGE_BYTES < n * entryBytes || vpn + n >= area.start + area.pages) return;
    const gfn = file.cached(area.filePage + vpn + n - area.start);
    if (gfn === undefined) continue;
    memory.load(at);
    if ((memory.lo | memory.hi) !== 0) continue;
    frames.hold(gfn);
    yield* memory.set(vcpu, at, leafLo(kernel, gfn, area.shared && area.writable), leafHi(kernel, area, gfn));
  }
}

/** From swap, into whatever frame is next. */
function* swapIn(cpu: Cpu, { process, area, vpn, pa }: VmFault, offset: number): Steps {
  const { kernel, vcpu } = cpu;
  const { frames, memory, swap } = kernel;
  kernel.log.note(vcpu, process, 'swap-in', { vpn, pages: 1 });
  const gfn = frames.take(FRAME_ANON);
  yield* memory.write(vcpu, gfn * PAGE_BYTES, swap.content(offset));
  yield* memory.set(vcpu, pa, leafLo(kernel, gfn, area.writable), leafHi(kernel, area, gfn));
  swap.drop(offset);
}

/** A write to a page that its area lets be written and its entry, in two words, does not (do_wp_page). */
function* writeToReadOnly(cpu: Cpu, { process, area, vpn, pa }: VmFault, lo: number, hi: number): Steps {
  const { kernel, vcpu } = cpu;
  const { codec, frames, memory } = kernel;
  const gfn = codec.gfnOf(lo, hi);
  const exclusive = frames.kindOf(gfn) === FRAME_ANON && frames.references(gfn) === 1;
  if (exclusive || area.shared) {
    kernel.log.note(vcpu, process, 'fault', { vpn, pages: 1 });
    yield* memory.set(vcpu, pa, lo | WRITABLE | DIRTY, hi);
    return;
  }
  kernel.log.note(vcpu, process, 'cow', { vpn, pages: 1 });
  const copy = frames.take(FRAME_ANON);
  yield* memory.copyFrame(vcpu, gfn, copy);
  // ptep_clear_flush first: no vCPU may still write through the old entry while another reads through the new one.
  yield* memory.set(vcpu, pa, 0, 0);
  yield* memory.set(vcpu, pa, leafLo(kernel, copy, true), leafHi(kernel, area, copy));
  kernel.dropPage(gfn);
}

/** With a self-map, the page table must also be where the window shows it; looking there marks its entries accessed. */
function checkSelfMap(cpu: Cpu, vpn: number, table: number): void {
  const { kernel, vcpu } = cpu;
  if (!kernel.options.selfMap) return;
  const { mode, byLevel } = kernel.paging;
  const page = kernel.layout.selfMap + Math.floor((vpn % 2 ** (mode.vaBits - 12)) / byLevel[1]!.slots);
  const seen = kernel.machine.translate(vcpu, page, FOR_WRITE);
  if (seen !== table) throw new Error(`the self-map shows ${JSON.stringify(seen)} where page table ${table} is`);
}

/** One access of a user program, with the faults that it takes. Returns the frame, or -1 where it had no right to it. */
export function* touch(cpu: Cpu, process: Process, vpn: number, access: number): Steps<number> {
  const { kernel, vcpu } = cpu;
  for (let attempt = 0; attempt < 8; attempt++) {
    kernel.enter(vcpu, process.space, true);
    const found = kernel.machine.translate(vcpu, vpn, access | FOR_USER);
    if (typeof found === 'number') return found;
    kernel.enter(vcpu, process.space, false);
    if (!(yield* handleFault(cpu, process, found))) return -1;
  }
  throw new Error(`process ${process.pid} faults on page ${vpn} again and again`);
}
