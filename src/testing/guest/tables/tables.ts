/** Building and taking down the tables of an address space: upper tables first, then the leaf, and back again. */
import { gfnOf, PAGE_BYTES, paOf } from '../../../core/address/pa.ts';
import { ENTRY_ABSENT, ENTRY_TABLE, kindOf, type LevelFormat, slotOf, tableGfn } from '../../../core/paging/format.ts';
import type { Steps } from '../../workload.ts';
import type { AddressSpace } from '../space/address-space.ts';
import { NO_EXECUTE, PRESENT, tableFlags, USER } from './entry.ts';
import { FRAME_TABLE } from '../frames/frame-allocator.ts';
import type { Cpu } from '../kernel.ts';

/** A new value of an entry at a physical address, in its two words. */
export interface EntryWrite {
  readonly level: number;
  readonly pa: number;
  readonly lo: number;
  readonly hi: number;
}

/**
 * Writes one entry of a space, and whatever must follow it:
 * - of an isolated space, the user root gets user entries first; the kernel root's are then no-execute, so that a kernel
 *   that forgets to switch cannot run user code (arch/x86/mm/pti.c, __pti_set_user_pgtbl);
 * - of the master, the same slot of every other space, where the table is one that each space has for itself.
 */
export function* setEntry(cpu: Cpu, space: AddressSpace, { level, pa, lo, hi }: EntryWrite): Steps {
  const { kernel, vcpu } = cpu;
  const { memory } = kernel;
  const top = kernel.paging.levels[0]!;
  if (space.userRoot === undefined || level !== top.level) {
    yield* memory.set(vcpu, pa, lo, hi);
  } else {
    yield* memory.set(vcpu, space.userRoot + (pa - space.root), lo, hi);
    const user = (lo & (PRESENT | USER)) === (PRESENT | USER) && top.noExecuteMask !== 0;
    yield* memory.set(vcpu, pa, lo, user ? hi | NO_EXECUTE : hi);
  }
  if (space !== kernel.master || level < kernel.ownLevel) return;
  for (const other of kernel.spaces) {
    const at = level === top.level ? other.root + (pa - space.root) : other.kernelTable! + (pa % PAGE_BYTES);
    yield* memory.set(vcpu, at, lo, hi);
  }
}

/**
 * Physical address of the entry for `vpn` in a table of `level`, the tables above it made where they are missing; -1 where a
 * large page is in the way. Takes a frame for each missing table.
 */
export function* ensureTables(cpu: Cpu, space: AddressSpace, vpn: number, level: number): Steps<number> {
  const { kernel } = cpu;
  const { memory, paging } = kernel;
  const { entryBytes } = paging.mode;
  let table = space.root;
  for (const format of paging.levels) {
    const pa = table + slotOf(format, vpn) * entryBytes;
    if (format.level === level) return pa;
    memory.load(pa);
    if (kindOf(format, memory.lo, memory.hi) === ENTRY_ABSENT) {
      yield* addTable(cpu, space, format, pa);
      memory.load(pa);
    }
    if (kindOf(format, memory.lo, memory.hi) !== ENTRY_TABLE) return -1;
    table = paOf(tableGfn(format, memory.lo, memory.hi));
  }
  return -1;
}

/** Makes the entry at `pa` point at a new, empty table, unless another vCPU was faster. */
function* addTable(cpu: Cpu, space: AddressSpace, format: LevelFormat, pa: number): Steps {
  const { kernel, vcpu } = cpu;
  const { codec, frames, memory } = kernel;
  const table = frames.take(FRAME_TABLE);
  yield* memory.clearFrames(vcpu, table);
  yield* memory.lock(gfnOf(pa));
  memory.load(pa);
  if (kindOf(format, memory.lo, memory.hi) === ENTRY_ABSENT) {
    space.tables++;
    const flags = tableFlags(format, space !== kernel.master && space !== kernel.userMaster);
    yield* setEntry(cpu, space, {
      level: format.level,
      pa,
      lo: codec.addressLo(table) | flags,
      hi: codec.addressHi(table),
    });
  } else {
    frames.drop(table);
  }
  memory.unlock(gfnOf(pa));
}

/** Pages from `start` on. */
export interface PageRange {
  readonly start: number;
  readonly pages: number;
}

/**
 * Frees the tables for these ranges whose whole span has no area left: all page tables first, then what pointed at them
 * (mm/memory.c, free_pgd_range). PAE's page directories stay until the process exits, as Linux keeps them.
 */
export function* freeTables(cpu: Cpu, space: AddressSpace, ranges: readonly PageRange[], exiting = false): Steps {
  const { kernel } = cpu;
  for (const format of kernel.paging.byLevel.slice(2)) {
    if (format.rightsMask === 0 && !exiting) continue;
    for (const range of ranges) yield* freeTablesBelow(cpu, space, format, range);
  }
}

/** Clears the entries of one level that point at tables without areas, and frees those. */
function* freeTablesBelow(cpu: Cpu, space: AddressSpace, format: LevelFormat, { start, pages }: PageRange): Steps {
  const { kernel } = cpu;
  const { frames, memory } = kernel;
  const { level, slotPages } = format;
  for (let base = start - (start % slotPages); base < start + pages; base += slotPages) {
    if (space.areas.touches(base, base + slotPages)) continue;
    const pa = memory.entryAt(space.root, base, level);
    if (pa < 0) continue;
    memory.load(pa);
    if (kindOf(format, memory.lo, memory.hi) !== ENTRY_TABLE) continue;
    const table = tableGfn(format, memory.lo, memory.hi);
    yield* setEntry(cpu, space, { level, pa, lo: 0, hi: 0 });
    frames.drop(table);
    space.tables--;
  }
}
