/**
 * What an entry that is not present means to Linux on x86. In 64-bit and PAE paging (arch/x86/include/asm/pgtable_64.h,
 * pgtable-3level.h, pgtable.h, pgtable-invert.h):
 *
 *      63…59   58………………9   8          7     6…4   3 2 1   0
 *      type    ~offset      PROTNONE   PS          flags   P = 0
 *
 * Against L1 terminal faults the offset, and the frame of a page that allows no access, are inverted (2f22b4cd45b6, 6b28baca9b1f). Of
 * a large page, the kernel inverts the address bits of its size (`pfn_pmd`, `pmd_modify`), but for hugetlb those of a small page, too
 * (`pte_modify`): below the page's size, bits say nothing.
 *
 * In legacy 32-bit paging (pgtable-2level.h) nothing is inverted, and the type is in bits 5:1:
 *
 *      31…9     8          7    6   5…1    0
 *      offset   PROTNONE            type   P = 0
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import type { Paging } from '../../core/paging/format.ts';
import type { PagingModeName } from '../../core/paging/modes.ts';
import type { SwapTypes } from './swap-types.ts';

export type EntryMeaning =
  /** Nothing was ever mapped, or what was mapped has been freed. */
  | { readonly kind: 'empty' }
  /** On a swap device, by its number, which is what /proc/PID/pagemap calls its type. */
  | { readonly kind: 'swapped'; readonly device: number; readonly slot: number }
  /** In memory at `pa`, but no access is allowed: PROT_NONE, or a hint that finds out which node uses the page (NUMA balancing). */
  | { readonly kind: 'inaccessible'; readonly pa: number }
  /** On its way from the frame at `pa` to another. */
  | { readonly kind: 'migrating'; readonly pa: number }
  /** The memory at `pa` is broken. */
  | { readonly kind: 'poisoned'; readonly pa: number }
  /** In a device's memory, or lent to a device. */
  | { readonly kind: 'device' }
  /** No page: a marker that the kernel has left for itself. */
  | { readonly kind: 'marker'; readonly marks: readonly string[] }
  /** A large page while its entry is being changed. */
  | { readonly kind: 'changing'; readonly pa: number };

/** How a kernel writes entries that are not present. */
export interface EntryFormat {
  readonly types: SwapTypes;
  readonly paging: Paging;
}

const PRESENT = 0x1n;
const PAGE_SIZE = 0x80n;
/** `_PAGE_PROTNONE`: the bit that is G where an entry is present. */
const NO_ACCESS = 0x100n;
const OFFSET_SHIFT = 9n;
const TYPE_SHIFT = 59n;
const OFFSET_MASK = (1n << 50n) - 1n;
const LEGACY_TYPE_SHIFT = 1n;
const LEGACY_OFFSET_MASK = (1n << 23n) - 1n;
const TYPE_MASK = 31n;
/**
 * Bits of an offset that are a frame; the two above say whether the page was accessed or dirty (SWP_PFN_BITS, include/linux/swapops.h,
 * is MAX_PHYSMEM_BITS - 12, arch/x86/include/asm/sparsemem.h).
 */
const FRAME_MASKS: Readonly<Record<PagingModeName, bigint>> = {
  '5-level': (1n << 40n) - 1n,
  '4-level': (1n << 34n) - 1n,
  pae: (1n << 24n) - 1n,
  '32-bit': (1n << 20n) - 1n,
};
const ADDRESS_MASK = 0xf_ffff_ffff_f000n;
const LEGACY_ADDRESS_MASK = 0xffff_f000n;

/** PTE_MARKER_*: since 5.19 (1db9dbc2ef05), 6.2 (15520a3f0469), 6.13 (7c53dfbdb024). */
const MARKS = ['userfaultfd write protection', 'poisoned', 'guard'];

/**
 * @param level of the table that holds it: 1 is a page table
 * @returns undefined for an entry that is present
 */
export function meaningOf({ types, paging }: EntryFormat, value: bigint, level: number): EntryMeaning | undefined {
  if ((value & PRESENT) !== 0n) return undefined;
  if (value === 0n) return { kind: 'empty' };
  if ((value & NO_ACCESS) !== 0n) return { kind: 'inaccessible', pa: invertedPage(paging, value, level) };
  if (level > 1 && (value & PAGE_SIZE) !== 0n) return { kind: 'changing', pa: invertedPage(paging, value, level) };
  const isLegacy = paging.mode.entryBytes === 4;
  const type = Number((value >> (isLegacy ? LEGACY_TYPE_SHIFT : TYPE_SHIFT)) & TYPE_MASK);
  const offset = isLegacy ? (value >> OFFSET_SHIFT) & LEGACY_OFFSET_MASK : (~value >> OFFSET_SHIFT) & OFFSET_MASK;
  const pa = Number((offset & FRAME_MASKS[paging.mode.name]) << 12n);
  switch (types.get(type)) {
    case undefined:
      return { kind: 'swapped', device: type, slot: Number(offset) };
    case 'poisoned':
      return { kind: 'poisoned', pa };
    case 'migrating':
      return { kind: 'migrating', pa };
    case 'device':
      return { kind: 'device' };
    case 'lost':
      return { kind: 'marker', marks: ['poisoned'] };
    case 'marker':
      return { kind: 'marker', marks: MARKS.filter((_, bit) => (offset >> BigInt(bit)) & 1n) };
  }
}

/** Where the page is that an entry of this level maps when it is present again. */
function invertedPage({ mode, byLevel, encryptionMask }: Paging, value: bigint, level: number): number {
  const below = BigInt((byLevel[level]?.slotPages ?? 1) * PAGE_BYTES - 1);
  const address = mode.entryBytes === 4 ? value & LEGACY_ADDRESS_MASK : ~value & ADDRESS_MASK & ~encryptionMask;
  return Number(address & ~below);
}
