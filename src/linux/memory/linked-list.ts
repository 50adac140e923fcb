/** The kernel's circular lists (`struct list_head`: next, prev). */
import { hex } from '../../core/address/va.ts';
import { GuestFault } from './guest-fault.ts';
import type { KernelMemory } from './kernel-memory.ts';

/**
 * The list heads that hang on `head`, itself left out, forwards. Ends where the list does not come back to its head: then `faults`
 * is told.
 *
 * @throws PtmonError `not-fetched`
 */
export function listNodes(memory: KernelMemory, head: bigint, what: string, faults: (why: string) => void): bigint[] {
  const nodes = new Set<bigint>();
  try {
    for (let node = memory.u64(head); node !== head; node = memory.u64(node)) {
      if (nodes.has(node)) throw new GuestFault(`comes back to ${hex(node)} instead of its beginning`);
      nodes.add(node);
    }
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
    faults(`the list of ${what} breaks off after ${nodes.size} entries: ${error.message}`);
  }
  return [...nodes];
}
