/**
 * Finds the Linux kernel of a guest by its page tables and its memory alone: the image where Linux maps it, in it the kernel's type
 * information (BTF), the build id, the first task, and the kernel's own top-level table.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import type { PhysicalMemory } from '../../core/memory/physical-memory.ts';
import { makePaging, type Paging, rootOf } from '../../core/paging/format.ts';
import type { RegisterAccess, RemoteFetch } from '../../driver/driver.ts';
import { pagingOf } from '../../driver/paging.ts';
import type { KernelRoot } from '../../driver/snapshot.ts';
import type { Btf } from '../btf/btf.ts';
import { KernelMemory } from '../memory/kernel-memory.ts';
import type { ImagePiece } from './image.ts';
import type { KernelCache } from './kernel-places.ts';
import { ImageSearch } from './image-search.ts';

/** What a kernel can be found in: a driver or a snapshot of a guest. */
export interface KernelSource {
  readonly memory: PhysicalMemory;
  readonly remote?: RemoteFetch;
  readonly registers?: RegisterAccess;
  readonly kernelRoot?: KernelRoot;
}

export interface LinuxKernel {
  /** Through the kernel's own top-level table where it was found; else through that of a process, which may go. */
  readonly memory: KernelMemory;
  readonly btf: Btf;
  /** Where its code begins, virtual and physical: KASLR moves both. */
  readonly base: bigint;
  readonly basePa: number;
  /** Undefined where its image has no build id. */
  readonly buildId: string | undefined;
  /** Address of `init_task`. */
  readonly initTask: bigint;
  /** Where the bounds of the page of old system calls are kept, in an area of no process; undefined where they are not. */
  readonly gate: bigint | undefined;
  /** What is mapped of its image. */
  readonly image: readonly ImagePiece[];
  /** Where the processes' part of an address space ends. */
  readonly userEnd: bigint;
}

/** Bit 12 of CR3 tells the two tables of a process apart under page-table isolation (arch/x86/entry/calling.h). */
const ISOLATED_ROOT_BIT = 0x1000;

export interface FindKernelOptions {
  /** Without one, the image is looked through each time. */
  readonly cache?: KernelCache;
  /** An address space that has the kernel; those that the source names unless told. */
  readonly space?: { readonly paging: Paging; readonly root: number };
  /** The kernel's types, for one that was built without them. */
  readonly types?: Btf;
  readonly signal?: AbortSignal;
}

/**
 * @throws PtmonError `source-unavailable` where no kernel is found, saying what was found of one; `corrupt-input` where its BTF is
 *   strange; what the source throws; the reason of `options.signal` when it is aborted
 */
export async function findKernel(source: KernelSource, options: FindKernelOptions = {}): Promise<LinuxKernel> {
  const reasons: string[] = [];
  for (const { paging, root } of options.space ? [options.space] : addressSpaces(source, reasons)) {
    const search = new ImageSearch(source, new KernelMemory(paging, source.memory, root), options);
    const found = await search.run();
    if (typeof found !== 'string') return found;
    reasons.push(`in the address space of root ${hex(root)}, ${found}`);
  }
  throw new PtmonError('source-unavailable', `no Linux kernel was found: ${[...new Set(reasons)].join('; ')}`);
}

/**
 * The kernel's own, where the source names it; those that the processors have loaded, and the kernel's of the same process where that
 * may be the one of user mode.
 */
function addressSpaces(
  { registers, kernelRoot }: KernelSource,
  reasons: string[],
): { readonly paging: Paging; readonly root: number }[] {
  const spaces = new Map<number, Paging>();
  if (kernelRoot !== undefined) spaces.set(kernelRoot.root, makePaging(kernelRoot));
  if (registers === undefined) {
    if (kernelRoot === undefined)
      reasons.push('nobody knows the registers of this source: tell which root to begin with');
    return [...spaces].map(([root, paging]) => ({ root, paging }));
  }
  for (let vcpu = 0; vcpu < registers.vcpuCount; vcpu++) {
    const paging = pagingOf(registers, vcpu);
    if (paging === undefined) reasons.push(`paging is off on vCPU ${vcpu}`);
    else {
      const root = rootOf(paging, registers.readRegisters(vcpu).cr3);
      spaces.set(root, paging);
      if (root % (2 * PAGE_BYTES) === ISOLATED_ROOT_BIT) spaces.set(root - ISOLATED_ROOT_BIT, paging);
    }
  }
  return [...spaces].map(([root, paging]) => ({ root, paging }));
}
