/** From reset to a running kernel: its own tables, built while no other vCPU runs. */
import { gfnOf, paOf } from '../../core/address/pa.ts';
import { HIGH_RAM_GFN } from '../machine/memory-map.ts';
import { registersFor } from '../machine/registers.ts';
import type { Steps } from '../workload.ts';
import { AddressSpace } from './space/address-space.ts';
import { ACCESSED, CACHE_DISABLE, DIRTY, GLOBAL, LARGE, NO_EXECUTE, PRESENT, WRITABLE } from './tables/entry.ts';
import { FRAME_KERNEL, FRAME_TABLE } from './frames/frame-allocator.ts';
import type { Cpu } from './kernel.ts';
import { ensureTables, setEntry } from './tables/tables.ts';

/** What every leaf of the kernel half has. */
const KERNEL_LEAF = PRESENT | ACCESSED | DIRTY | GLOBAL;

const CODE_PAGES = 2;
/** First frame of the gigabyte below 4 GiB, where devices are. */
const DEVICE_GFN = 0xc0000;
/** Pages that legacy kernels map directly: 768 MiB. */
const LEGACY_DIRECT_MAP = 0x30000;

/** Builds the kernel half and switches paging on on every vCPU. */
export function* boot(cpu: Cpu): Steps {
  const { kernel, vcpu } = cpu;
  const { frames, layout, machine, memory, options } = kernel;
  kernel.log.note(vcpu, undefined, 'boot');
  kernel.master = yield* emptyRoot(cpu);
  if (options.isolation) kernel.userMaster = yield* emptyRoot(cpu);

  yield* mapDirectly(cpu);
  if (layout.deviceWindow !== undefined) {
    yield* mapKernelLeaf(cpu, kernel.master, {
      vpn: layout.deviceWindow,
      level: 3,
      gfn: DEVICE_GFN,
      flags: WRITABLE | CACHE_DISABLE,
    });
  }
  for (let page = 0; page < CODE_PAGES; page++) {
    const gfn = frames.take(FRAME_KERNEL);
    yield* memory.clearFrames(vcpu, gfn);
    for (const space of [kernel.master, kernel.userMaster]) {
      if (space) yield* mapKernelLeaf(cpu, space, { vpn: layout.entryArea + page, level: 1, gfn, flags: 0 });
    }
  }
  kernel.zeroPage = frames.take(FRAME_KERNEL);
  yield* memory.clearFrames(vcpu, kernel.zeroPage);
  for (const cpu of machine.vcpus) cpu.load(registersFor(machine.mode, BigInt(kernel.cr3Of(kernel.master, false))));
}

export interface KernelLeaf {
  readonly vpn: number;
  readonly level: number;
  readonly gfn: number;
  /** Beside those that every leaf of the kernel half has. */
  readonly flags: number;
}

/** Writes one leaf of a space's kernel half, without execute unless it is code (not writable). */
export function* mapKernelLeaf(cpu: Cpu, space: AddressSpace, { vpn, level, gfn, flags }: KernelLeaf): Steps {
  const { kernel } = cpu;
  const { codec, paging } = kernel;
  const pa = yield* ensureTables(cpu, space, vpn, level);
  const noExecute = flags & WRITABLE && paging.byLevel[level]!.noExecuteMask ? NO_EXECUTE : 0;
  const lo = codec.addressLo(gfn) | KERNEL_LEAF | flags | (level > 1 ? LARGE : 0);
  yield* setEntry(cpu, space, { level, pa, lo, hi: codec.addressHi(gfn) | noExecute });
}

function* emptyRoot(cpu: Cpu): Steps<AddressSpace> {
  const { kernel, vcpu } = cpu;
  const root = paOf(kernel.frames.takeLow(FRAME_TABLE));
  yield* kernel.memory.clearFrames(vcpu, gfnOf(root));
  return new AddressSpace({ root, userRoot: undefined, kernelTable: undefined, pcid: 0 });
}

/** The direct map: all RAM that the kernel half has room for, in large pages. */
function* mapDirectly(cpu: Cpu): Steps {
  const { kernel } = cpu;
  const { layout, machine, paging } = kernel;
  const { slotPages } = paging.byLevel[2]!;
  for (const { gfn, frames } of machine.ram) {
    if (!paging.mode.canonical && gfn >= HIGH_RAM_GFN) continue;
    const end = Math.min(gfn + frames, paging.mode.canonical ? Infinity : LEGACY_DIRECT_MAP);
    for (let at = gfn - (gfn % slotPages); at < end; at += slotPages) {
      yield* mapKernelLeaf(cpu, kernel.master, { vpn: layout.directMap + at, level: 2, gfn: at, flags: WRITABLE });
    }
  }
}
