/** The top-level tables of a process: one, or two under page-table isolation. */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { PtmonError } from '../../core/error.ts';
import { tableGfn } from '../../core/paging/format.ts';
import { READ_NOT_FETCHED, READ_OK } from '../../core/memory/physical-memory.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';

/** Entries of the lower half: a process's own. */
const USER_ENTRIES = 256;
const PRESENT = 0x1;
const PRESENT_AND_USER = 0x5;
const NO_EXECUTE = 0x8000_0000;

/**
 * The kernel's table of the process, and where the process is isolated the one of user mode, which lies in the next frame.
 *
 * Isolation shows in the entries themselves. In 64-bit mode the kernel makes user memory not executable in its own table
 * (`__pti_set_user_pgtbl`, arch/x86/mm/pti.c), which it never does otherwise at this level. Entries of PAE have no such right: there the
 * table of user mode leads to the same tables of user memory, which no other process does, and to another one of the kernel's.
 *
 * @param pgd kernel address of the table, mm_struct.pgd
 * @throws PtmonError `not-fetched`; GuestFault where `pgd` leads nowhere
 */
export function rootsOf(memory: KernelMemory, pgd: bigint): number[] {
  const root = memory.pa(pgd);
  const { name } = memory.paging.mode;
  // CONFIG_PAGE_TABLE_ISOLATION needs entries of 64 bits.
  const isIsolated = name === 'pae' ? isIsolatedPae(memory, root) : name !== '32-bit' && isIsolatedLong(memory, root);
  return isIsolated ? [root, root + PAGE_BYTES] : [root];
}

function isIsolatedLong(memory: KernelMemory, root: number): boolean {
  for (let slot = 0; slot < USER_ENTRIES; slot++) {
    const entry = entryAt(memory, root, slot);
    if (entry === undefined) break;
    if ((entry.lo & PRESENT_AND_USER) === PRESENT_AND_USER) return (entry.hi & NO_EXECUTE) !== 0;
  }
  return false;
}

function isIsolatedPae(memory: KernelMemory, root: number): boolean {
  // Both tables are whole frames, the first with an even number; without isolation tables are 32 bytes.
  if (root % (2 * PAGE_BYTES) !== 0) return false;
  const { slots } = memory.paging.levels[0]!;
  const tables = (table: number) =>
    Array.from({ length: slots }, (_, slot) => {
      const { lo = 0, hi = 0 } = entryAt(memory, table, slot) ?? {};
      return (lo & PRESENT) === 0 ? undefined : tableGfn(memory.paging.levels[0]!, lo, hi);
    });
  const [kernel, user] = [tables(root), tables(root + PAGE_BYTES)];
  const first = kernel.findIndex((table) => table !== undefined);
  const last = slots - 1;
  return first < last && kernel[first] === user[first] && user[last] !== undefined && user[last] !== kernel[last];
}

/** Undefined where there is no memory. */
function entryAt({ physical }: KernelMemory, table: number, slot: number) {
  const entry = new Uint32Array(2);
  const pa = table + slot * 8;
  const outcome = physical.readEntry(pa, 8, entry);
  if (outcome === READ_NOT_FETCHED) throw new PtmonError('not-fetched', 'a root is not fetched yet', { missing: [pa] });
  return outcome === READ_OK ? { lo: entry[0]!, hi: entry[1]! } : undefined;
}
