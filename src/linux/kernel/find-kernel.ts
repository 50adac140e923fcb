/**
 * Finds the Linux kernel of a guest by its page tables and its memory alone: the image where Linux maps it, in it the kernel's type
 * information (BTF), the build id, the first task, and the kernel's own top-level table.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { makePaging, type Paging, rootOf } from '../../core/paging/format.ts';
import { pagingOf } from '../../driver/paging.ts';
import { KernelMemory } from '../memory/kernel-memory.ts';
import { ImageSearch, type NoKernel } from './find-in-image.ts';
import type { FindKernelOptions, KernelSource, LinuxKernel } from './kernel.ts';

/** Bit 12 of CR3 tells the two tables of a process apart under page-table isolation (arch/x86/entry/calling.h). */
const ISOLATED_ROOT_BIT = 0x1000;

/**
 * @throws PtmonError `source-unavailable` where no kernel is found, saying what was found of one; `corrupt-input` where its BTF is
 *   strange; what the source throws; the reason of `options.signal` when it is aborted
 */
export async function findKernel(source: KernelSource, options: FindKernelOptions = {}): Promise<LinuxKernel> {
  if (source.isExcerpt === true) {
    throw new PtmonError(
      'source-unavailable',
      'a trace holds page tables only: for processes, their memory and symbols of the kernel, give a dump or a live guest',
    );
  }
  const unread: string[] = [];
  const searched: NoKernel[] = [];
  for (const { paging, root } of options.space ? [options.space] : addressSpaces(source, unread)) {
    const search = new ImageSearch(source, new KernelMemory(paging, source.memory, root), options);
    const found = await search.run();
    if (!('why' in found)) return found;
    searched.push({ ...found, why: `in the address space of root ${hex(root)}, ${found.why}` });
  }
  // Where a kernel is mapped, where none is does not matter: the user half of an isolated process has none.
  const withImage = searched.filter(({ hasImage }) => hasImage);
  const told = (withImage.length > 0 ? withImage : searched).map(({ why }) => why);
  throw new PtmonError(
    'source-unavailable',
    `no Linux kernel can be read: ${[...new Set([...unread, ...told])].join('; ')}`,
  );
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
  if (kernelRoot !== undefined) {
    const { root, mode, encryptionMask } = kernelRoot;
    spaces.set(root, makePaging({ mode, ...(encryptionMask !== undefined && { encryptionMask }) }));
  }
  if (registers === undefined) {
    if (kernelRoot === undefined) reasons.push('this source has no registers: give a root to begin with');
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
