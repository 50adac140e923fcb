/**
 * What an entry that is not present means to Linux on x86-64 (arch/x86/include/asm/pgtable_64.h, pgtable.h, pgtable-invert.h):
 *
 *      63…59   58………………9   8          7     6…4   3 2 1   0
 *      type    ~offset      PROTNONE   PS          flags   P = 0
 *
 * Against L1 terminal faults the offset, and the frame of a page that nobody may touch, are kept inverted (2f22b4cd45b6,
 * 6b28baca9b1f).
 */
import type { SwapTypes } from './swap-types.ts';

export type EntryMeaning =
  /** Nothing was ever mapped, or what was has been given back. */
  | { readonly kind: 'empty' }
  /** On a swap device, by its number, which is what /proc/PID/pagemap calls its type. */
  | { readonly kind: 'swapped'; readonly device: number; readonly slot: number }
  /** In memory at `pa`, but no access is allowed: PROT_NONE, or a hint that finds out who uses the page (NUMA balancing). */
  | { readonly kind: 'inaccessible'; readonly pa: number }
  /** On its way from the frame at `pa` to another. */
  | { readonly kind: 'migrating'; readonly pa: number }
  /** The memory at `pa` is broken. */
  | { readonly kind: 'poisoned'; readonly pa: number }
  /** In a device's memory, or lent to a device. */
  | { readonly kind: 'device' }
  /** No page: a note of the kernel's to itself. */
  | { readonly kind: 'marker'; readonly marks: readonly string[] }
  /** A large page while its entry is being changed. */
  | { readonly kind: 'changing'; readonly pa: number };

const PRESENT = 0x1n;
const PAGE_SIZE = 0x80n;
/** `_PAGE_PROTNONE`: the bit that is G where an entry is present. */
const NO_ACCESS = 0x100n;
const TYPE_SHIFT = 59n;
const OFFSET_SHIFT = 9n;
const OFFSET_MASK = (1n << 50n) - 1n;
/** Bits of an offset that are a frame: the rest may say whether the page was accessed or dirty (include/linux/swapops.h). */
const FRAME_MASK = (1n << 40n) - 1n;
const ADDRESS_MASK = 0xf_ffff_ffff_f000n;

/** PTE_MARKER_*: since 5.19 (1db9dbc2ef05), 6.2 (15520a3f0469), 6.13 (7c53dfbdb024). */
const MARKS = ['userfaultfd write protection', 'poisoned', 'guard'];

/**
 * @param level of the table that holds it: 1 is a page table
 * @returns undefined for an entry that is present
 */
export function meaningOf(types: SwapTypes, value: bigint, level: number): EntryMeaning | undefined {
  if ((value & PRESENT) !== 0n) return undefined;
  if (value === 0n) return { kind: 'empty' };
  if ((value & NO_ACCESS) !== 0n) return { kind: 'inaccessible', pa: Number(~value & ADDRESS_MASK) };
  if (level > 1 && (value & PAGE_SIZE) !== 0n) return { kind: 'changing', pa: Number(~value & ADDRESS_MASK) };
  const type = Number(value >> TYPE_SHIFT);
  const offset = (~value >> OFFSET_SHIFT) & OFFSET_MASK;
  const pa = Number((offset & FRAME_MASK) << 12n);
  switch (types.get(type)) {
    case undefined:
      return { kind: 'swapped', device: type, slot: Number(offset) };
    case 'poisoned':
      return { kind: 'poisoned', pa };
    case 'migrating':
      return { kind: 'migrating', pa };
    case 'device':
      return { kind: 'device' };
    case 'marker':
      return { kind: 'marker', marks: MARKS.filter((_, bit) => (offset >> BigInt(bit)) & 1n) };
  }
}
