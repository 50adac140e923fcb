/** The kernel's circular lists (`struct list_head`: next, prev). */
import { hex } from '../../core/address/va.ts';
import { GuestFault } from './guest-fault.ts';
import type { KernelMemory } from './kernel-memory.ts';
import type { Steps } from './steps.ts';

/** PID_MAX_LIMIT (include/linux/threads.h): Linux has no more tasks. */
const MAX_NODES = 1 << 22;

export interface ListPlace {
  readonly head: bigint;
  /** What is in the list, for faults: `processes`. */
  readonly what: string;
}

/**
 * The nodes of the list at `head`, forwards, without the head. Ends where the list does not come back to its head, and reports that
 * to `faults`.
 *
 * @throws PtmonError `not-fetched`
 */
export function* listNodes(
  memory: KernelMemory,
  { head, what }: ListPlace,
  faults: (why: string) => void,
): Steps<bigint[]> {
  const nodes = new Set<bigint>();
  try {
    for (let node = memory.pointer(head); node !== head; node = memory.pointer(node)) {
      if (nodes.has(node)) throw new GuestFault(`comes back to ${hex(node)} instead of its beginning`);
      if (nodes.size === MAX_NODES) throw new GuestFault('Linux has no list as long as this');
      nodes.add(node);
      yield;
    }
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
    faults(`the list of ${what} breaks off after ${nodes.size} entries: ${error.message}`);
  }
  return [...nodes];
}
