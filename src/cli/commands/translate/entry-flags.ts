/**
 * What the bits of an entry mean, by kind of entry. Intel SDM vol. 3A, "Paging": tables 4-4 to 4-6 (32-bit), 4-8 to 4-11 (PAE),
 * 4-14 to 4-20 (4-level and 5-level).
 */
import type { Paging, LevelFormat } from '../../../core/paging/format.ts';

/** One bit and its names. */
export interface EntryFlag {
  readonly bit: number;
  readonly set: string;
  /** What a clear bit means, where it has a name. */
  readonly clear?: string;
}

/** Excludes bits that are reserved on this machine, such as XD without EFER.NXE. */
export type EntryFlags = readonly EntryFlag[];

const PRESENT: EntryFlag = { bit: 0, set: 'present' };
const RIGHTS: EntryFlags = [
  { bit: 1, set: 'writable', clear: 'read-only' },
  { bit: 2, set: 'user', clear: 'supervisor' },
];
const CACHING: EntryFlags = [
  { bit: 3, set: 'write-through (PWT)' },
  { bit: 4, set: 'cache disabled (PCD)' },
];
const ACCESSED: EntryFlag = { bit: 5, set: 'accessed' };
const DIRTY: EntryFlag = { bit: 6, set: 'dirty' };
const LARGE: EntryFlag = { bit: 7, set: 'large page' };
const GLOBAL: EntryFlag = { bit: 8, set: 'global' };
const PAT_OF_PTE: EntryFlag = { bit: 7, set: 'PAT' };
const PAT_OF_LARGE: EntryFlag = { bit: 12, set: 'PAT' };
const NO_EXECUTE: EntryFlag = { bit: 63, set: 'no-execute' };

const POINTER: EntryFlags = [PRESENT, ...RIGHTS, ...CACHING, ACCESSED];
const LARGE_LEAF: EntryFlags = [...POINTER, DIRTY, LARGE, GLOBAL, PAT_OF_LARGE];
const PAGE_LEAF: EntryFlags = [...POINTER, DIRTY, PAT_OF_PTE, GLOBAL];

/** How a present entry is interpreted. */
export type EntryShape = 'table' | 'large' | 'page';

const NARROW: Readonly<Record<EntryShape, EntryFlags>> = {
  // Table 4-5.
  table: POINTER,
  // Table 4-4.
  large: LARGE_LEAF,
  // Table 4-6.
  page: PAGE_LEAF,
};

const WIDE: Readonly<Record<EntryShape, EntryFlags>> = {
  // Tables 4-10, 4-14, 4-15, 4-17, 4-19.
  table: [...POINTER, NO_EXECUTE],
  // Tables 4-9, 4-16, 4-18.
  large: [...LARGE_LEAF, NO_EXECUTE],
  // Tables 4-11, 4-20.
  page: [...PAGE_LEAF, NO_EXECUTE],
};

/** Table 4-8: no rights. The accessed bit is what QEMU's TCG sets in memory; a load of CR3 faults on it. */
const PAE_PDPTE: EntryFlags = [PRESENT, ...CACHING, ACCESSED];

export function flagsFor({ mode }: Paging, format: LevelFormat, shape: EntryShape): EntryFlags {
  if (mode.entryBytes === 4) return NARROW[shape];
  return format.rightsMask === 0 ? PAE_PDPTE : WIDE[shape];
}

/** Lowest of the four bits of a leaf that are its protection key (SDM vol. 3A, 4.6.2). */
export const KEY_SHIFT = 59n;
