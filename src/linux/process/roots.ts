/** The top-level tables of a process: one, or two under page-table isolation. */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { PtmonError } from '../../core/error.ts';
import { READ_NOT_FETCHED, READ_OK } from '../../core/memory/physical-memory.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';

/** Entries of the lower half: a process's own. */
const USER_ENTRIES = 256;
const PRESENT_AND_USER = 0x5;
const NO_EXECUTE = 0x8000_0000;

/**
 * The kernel's table of the process, and where the process is isolated the one of user mode, which lies in the next frame.
 *
 * Isolation shows in the entries themselves: the kernel then makes user memory not executable in its own table
 * (`__pti_set_user_pgtbl`, arch/x86/mm/pti.c), which it never does otherwise at this level.
 *
 * @param pgd kernel address of the table, mm_struct.pgd
 * @throws PtmonError `not-fetched`; GuestFault where `pgd` leads nowhere
 */
export function rootsOf(memory: KernelMemory, pgd: bigint): number[] {
  const root = memory.pa(pgd);
  // 32-bit kernels isolate, too, but their entries do not tell (PAE's top level has no rights).
  if (memory.wordBytes === 4) return [root];
  const entry = new Uint32Array(2);
  for (let slot = 0; slot < USER_ENTRIES; slot++) {
    const pa = root + slot * 8;
    const outcome = memory.physical.readEntry(pa, 8, entry);
    if (outcome === READ_NOT_FETCHED)
      throw new PtmonError('not-fetched', 'a root is not fetched yet', { missing: [pa] });
    if (outcome !== READ_OK) break;
    if ((entry[0]! & PRESENT_AND_USER) !== PRESENT_AND_USER) continue;
    return (entry[1]! & NO_EXECUTE) === 0 ? [root] : [root, root + PAGE_BYTES];
  }
  return [root];
}
