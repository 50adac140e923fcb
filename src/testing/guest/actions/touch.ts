/** What programs do most of the time: read, write and execute their memory, near where they did so last. */
import { PAGE_BYTES, paOf } from '../../../core/address/pa.ts';
import { FOR_EXECUTE, FOR_USER, FOR_WRITE } from '../../machine/mmu.ts';
import type { Random } from '../../random.ts';
import type { Steps } from '../../workload.ts';
import type { Area } from '../space/area-list.ts';
import type { Cpu, Kernel } from '../kernel.ts';
import { FAULT_FRAMES, touch } from '../mm/page-fault.ts';
import type { Process } from '../space/process.ts';
import type { ProcessAction } from './action-kind.ts';

const MOST_PAGES = 3;
/** Bytes that one store writes at most. */
const LONGEST_STORE = 64;

export const touchMemory: ProcessAction = {
  weight: 520,
  exclusive: false,
  frames: () => MOST_PAGES * FAULT_FRAMES,
  begin(cpu, process) {
    const { kernel } = cpu;
    const area = someArea(kernel, process);
    return area && touchArea(cpu, process, area);
  },
};

/** Reads without the lock, as other threads of a process do while the kernel changes its tables under them. */
export function* readAnyway(cpu: Cpu, process: Process): Steps {
  const { kernel, vcpu } = cpu;
  const area = someArea(kernel, process);
  if (area === undefined) return;
  kernel.enter(vcpu, process.space, true);
  kernel.machine.translate(vcpu, nextPage(kernel.random, process, area), FOR_USER);
}

function someArea(kernel: Kernel, process: Process): Area | undefined {
  const { all } = process.space.areas;
  const area = all[kernel.random.below(all.length)];
  return area?.readable ? area : undefined;
}

function* touchArea(cpu: Cpu, process: Process, area: Area): Steps {
  const { kernel } = cpu;
  const { random } = kernel;
  for (let count = random.between(1, MOST_PAGES); count > 0; count--) {
    const vpn = nextPage(random, process, area);
    const write = area.writable && random.below(8) < 5;
    const access = write ? FOR_WRITE : area.executable && random.oneIn(2) ? FOR_EXECUTE : 0;
    const gfn = yield* touch(cpu, process, vpn, access);
    if (gfn < 0) throw new Error(`process ${process.pid} has no right to page ${vpn} of ${area.name}`);
    if (write) yield* store(cpu, process, vpn, gfn);
  }
}

/** Bytes of any number, anywhere in the page: what else is in the frame of a former page table does not matter. */
function* store(cpu: Cpu, process: Process, vpn: number, gfn: number): Steps {
  const { kernel, vcpu } = cpu;
  const { machine, random } = kernel;
  const bytes = new Uint8Array(2 ** random.below(Math.log2(LONGEST_STORE) + 1)).fill(random.next());
  const offset = random.below(PAGE_BYTES - bytes.length + 1);
  const landed = (): void => kernel.log.stored(process, vpn, offset, bytes);
  if (machine.write(vcpu, paOf(gfn, offset), bytes, landed)) yield;
}

function nextPage(random: Random, process: Process, area: Area): number {
  const place = process.places.get(area.name) ?? 0;
  const step = random.oneIn(6) ? random.below(area.pages) : random.between(0, 2);
  const next = (place + step) % area.pages;
  process.places.set(area.name, next);
  return area.start + next;
}
