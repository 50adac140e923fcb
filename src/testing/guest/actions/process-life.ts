/** Processes begin, fork, become another program, and end. */
import { FOR_WRITE } from '../../machine/mmu.ts';
import type { Steps } from '../../workload.ts';
import type { AddressSpace } from '../space/address-space.ts';
import type { Area } from '../space/area-list.ts';
import { isProtNone, PRESENT, WRITABLE } from '../tables/entry.ts';
import type { Cpu } from '../kernel.ts';
import type { Found } from '../tables/kernel-memory.ts';
import { FAULT_FRAMES, touch } from '../mm/page-fault.ts';
import type { Process } from '../space/process.ts';
import { loadProgram, someProgram } from '../space/program.ts';
import { createSpace, destroySpace, SPACE_FRAMES } from '../mm/spaces.ts';
import { ensureTables, setEntry } from '../tables/tables.ts';
import { unmapAll } from '../mm/unmap.ts';
import type { KernelAction, ProcessAction } from './action-kind.ts';

/** Fewer processes than this, and one is spawned; more than that, and one exits. */
export const FEW = 4;
const MANY = 14;

export const spawn: KernelAction = {
  weight: 6,
  frames: () => SPACE_FRAMES + FAULT_FRAMES,
  begin: (cpu) => (cpu.kernel.processes.length >= MANY ? undefined : spawnProcess(cpu)),
};

export const fork: ProcessAction = {
  weight: 7,
  exclusive: true,
  frames: (_kernel, process) => process.space.tables + SPACE_FRAMES,
  begin: (cpu, process) => (cpu.kernel.processes.length >= MANY ? undefined : forkProcess(cpu, process)),
};

export const exec: ProcessAction = {
  weight: 4,
  exclusive: true,
  frames: () => SPACE_FRAMES,
  begin: (cpu, process) => execute(cpu, process),
};

export const exit: ProcessAction = {
  weight: 9,
  exclusive: true,
  frames: () => 0,
  begin: (cpu, process) => (cpu.kernel.processes.length <= FEW ? undefined : exitProcess(cpu, process)),
};

function* spawnProcess(cpu: Cpu): Steps {
  const { kernel, vcpu } = cpu;
  const pid = kernel.nextPid++;
  const space = yield* createSpace(cpu, pid);
  if (space === undefined) return;
  const process: Process = { pid, name: someProgram(kernel), space, places: new Map() };
  loadProgram(kernel, space, process.name);
  space.tryLock(false);
  kernel.processes.push(process);
  kernel.log.note(vcpu, process, 'spawn');
  yield* pushArguments(cpu, process);
  space.unlock(false);
}

/** The first page of a program that is ever touched is the top of its stack: its arguments are there. */
function* pushArguments(cpu: Cpu, process: Process): Steps {
  const stack = process.space.areas.all.find((area) => area.name === '[stack]');
  if (stack !== undefined) yield* touch(cpu, process, stack.start + stack.pages - 1, FOR_WRITE);
}

function* forkProcess(cpu: Cpu, parent: Process): Steps {
  const { kernel, vcpu } = cpu;
  const pid = kernel.nextPid++;
  const space = yield* createSpace(cpu, pid);
  if (space === undefined) return;
  const child: Process = { pid, name: parent.name, space, places: new Map(parent.places) };
  space.tryLock(true);
  for (const area of parent.space.areas.all) space.areas.add(area);
  kernel.processes.push(child);
  kernel.log.note(vcpu, parent, 'fork', { child: pid });
  for (const area of space.areas.all) {
    // What only shows a file is not copied: the child's own faults will find it.
    if (!area.shared && (area.file === undefined || area.writable)) {
      yield* copyArea(cpu, parent.space, space, area);
    }
  }
  space.unlock(true);
}

/** Both get the same frames, and neither may write them any more (mm/memory.c, copy_page_range). */
function* copyArea(cpu: Cpu, from: AddressSpace, to: AddressSpace, area: Area): Steps {
  const { kernel, vcpu } = cpu;
  const { codec, frames, memory, paging, swap } = kernel;
  const end = area.start + area.pages;
  const found: Found = { vpn: 0, level: 0, pa: 0, lo: 0, hi: 0 };
  for (let vpn = area.start; memory.seek(from.root, vpn, end, found); ) {
    const { level, pa, lo, hi } = found;
    const { slotPages } = paging.byLevel[level]!;
    if (lo & PRESENT || isProtNone(lo)) {
      if (lo & PRESENT && lo & WRITABLE) {
        if (level === 1) yield* memory.clearWritable(vcpu, pa);
        else yield* setEntry(cpu, from, { level, pa, lo: lo & ~WRITABLE, hi });
      }
      const gfn = codec.gfnOf(lo, hi);
      if (gfn !== kernel.zeroPage) for (let n = 0; n < slotPages; n++) frames.hold(gfn + n);
    } else {
      swap.hold(codec.swapOffset(lo));
    }
    const copy = yield* ensureTables(cpu, to, found.vpn, level);
    const readOnly = lo & PRESENT ? lo & ~WRITABLE : lo;
    yield* setEntry(cpu, to, { level, pa: copy, lo: readOnly, hi });
    vpn = found.vpn + slotPages;
  }
}

function* execute(cpu: Cpu, process: Process): Steps {
  const { kernel, vcpu } = cpu;
  const space = yield* createSpace(cpu, process.pid);
  if (space === undefined) return;
  const old = process.space;
  loadProgram(kernel, space, (process.name = someProgram(kernel)));
  process.space = space;
  process.places.clear();
  kernel.log.note(vcpu, process, 'exec');
  yield* unmapAll(cpu, old);
  yield* destroySpace(cpu, old);
}

/** Takes a process down whatever the number of those that are left. */
export function* exitProcess(cpu: Cpu, process: Process): Steps {
  const { kernel, vcpu } = cpu;
  kernel.log.note(vcpu, process, 'exit');
  kernel.enter(vcpu, kernel.master, false);
  yield* unmapAll(cpu, process.space);
  // The process must be out of the list before its roots are gone.
  kernel.processes.splice(kernel.processes.indexOf(process), 1);
  yield* destroySpace(cpu, process.space);
}
