/**
 * The memory-management unit: one access of one vCPU, translated as the processor does it. Intel SDM vol. 3, 4.6 to 4.8.
 *
 * Accessed and dirty bits go straight to memory: second-level permissions trap what software writes, and these are not
 * software's. There is no TLB, so every access sees the tables as they are. Not modelled: SMEP, SMAP, PKRU.
 */
import { gfnOf, PAGE_BYTES } from '../../core/address/pa.ts';
import {
  ENTRY_ABSENT,
  ENTRY_LEAF,
  ENTRY_RESERVED,
  isCanonical,
  kindOf,
  leafGfn,
  slotOf,
  tableGfn,
} from '../../core/paging/format.ts';
import {
  RIGHT_NO_EXECUTE,
  RIGHT_USER,
  RIGHT_WRITABLE,
  RIGHTS_ALL,
  restrict,
  restrictLeaf,
} from '../../core/paging/rights.ts';
import type { Vcpu } from './vcpu.ts';

/** What an access wants: a sum of these; 0 is a supervisor's read. The values are those of a page fault's error code. */
export const FOR_WRITE = 2;
export const FOR_USER = 4;
export const FOR_EXECUTE = 16;

/** Bits of the error code that say what was found. */
export const FAULT_PRESENT = 1;
export const FAULT_RESERVED = 8;

const ACCESSED = 0x20;
const DIRTY = 0x40;

/** What the processor delivers to the operating system instead of memory. */
export interface Fault {
  /** 14: page fault; 13: general protection, for an address that is not canonical. */
  readonly vector: 13 | 14;
  /** The page that was accessed (CR2 without its offset). */
  readonly vpn: number;
  /** SDM vol. 3, figure 4-12. */
  readonly errorCode: number;
}

/** Where the frames are. */
interface Frames {
  page(gfn: number): Uint32Array | undefined;
}

/** The frame behind page `vpn` for this access, or the fault that it raises. */
export function translate(memory: Frames, vcpu: Vcpu, vpn: number, access: number): number | Fault {
  const { paging } = vcpu;
  if (paging === undefined) return vpn;
  if (!isCanonical(paging, vpn)) return { vector: 13, vpn, errorCode: 0 };

  const { entryBytes } = paging.mode;
  let tablePa = vcpu.root;
  let rights = RIGHTS_ALL;
  for (const format of paging.levels) {
    const entryPa = tablePa + slotOf(format, vpn) * entryBytes;
    const page = memory.page(gfnOf(entryPa));
    // No device responds: the read returns all ones, and such an entry has reserved bits set.
    if (page === undefined) return pageFault(vpn, access, FAULT_PRESENT | FAULT_RESERVED);
    const word = (entryPa % PAGE_BYTES) >>> 2;
    const lo = page[word]!;
    const hi = entryBytes === 8 ? page[word + 1]! : 0;

    const kind = kindOf(format, lo, hi);
    if (kind === ENTRY_ABSENT) return pageFault(vpn, access, 0);
    if (kind === ENTRY_RESERVED) return pageFault(vpn, access, FAULT_PRESENT | FAULT_RESERVED);
    if (kind === ENTRY_LEAF) {
      rights = restrictLeaf(rights, format, lo, hi);
      if (!allowed(rights, access, vcpu.writeProtect)) return pageFault(vpn, access, FAULT_PRESENT);
      const used = lo | (access & FOR_WRITE ? ACCESSED | DIRTY : ACCESSED);
      if (used !== lo) page[word] = used;
      return leafGfn(format, lo, hi) + (vpn % format.slotPages);
    }
    rights = restrict(rights, format, lo, hi);
    // Of PAE's PDPTEs as well: that is what QEMU's TCG does.
    if ((lo & ACCESSED) === 0) page[word] = lo | ACCESSED;
    tablePa = tableGfn(format, lo, hi) * PAGE_BYTES;
  }
  throw new Error('unreachable: the last level has leaves only');
}

function allowed(rights: number, access: number, writeProtect: boolean): boolean {
  const user = (access & FOR_USER) !== 0;
  if (user && (rights & RIGHT_USER) === 0) return false;
  if (access & FOR_WRITE && (rights & RIGHT_WRITABLE) === 0 && (user || writeProtect)) return false;
  return !(access & FOR_EXECUTE && rights & RIGHT_NO_EXECUTE);
}

function pageFault(vpn: number, access: number, found: number): Fault {
  return { vector: 14, vpn, errorCode: access | found };
}
