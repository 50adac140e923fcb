/**
 * Paging modes as data (rule T1). Intel SDM vol. 3, chapter 4; AMD64 APM vol. 2, chapter 5.
 *
 * A mode is its tables from the root down. What differs between modes is only how many address bits a table translates, how
 * wide an entry is, which entries may be leaves, and which bits must be zero. `format.ts` turns that into masks for one
 * machine; everything else (walker, monitor, simulator) reads those masks and knows no mode by name.
 */

export type PagingModeName = '4-level' | '5-level' | 'pae' | '32-bit';

/** When an entry of a table maps a page instead of pointing at the next table. */
export type LeafRule =
  /** A page table: every entry maps 4 KiB. */
  | 'always'
  /** Bit 7 (PS) makes it a large page. */
  | 'page-size-bit'
  /** Bit 7 is reserved: the processor faults on it. */
  | 'never';

export interface TableLevel {
  /** The table's name in the SDM. */
  readonly name: 'PML5' | 'PML4' | 'PDPT' | 'PD' | 'PT';
  /** Address bits that one table translates: 9 for 512 entries. */
  readonly indexBits: number;
  readonly leaf: LeafRule;
  /** False for PAE's four PDPTEs, which have neither R/W nor U/S nor XD. */
  readonly hasRights: boolean;
  /** Bits of a non-leaf entry that stop a walk whatever the machine (low word, high word). */
  readonly reserved: readonly [low: number, high: number];
  /** The same for a large leaf, its unused address bits included. Bit 12 is PAT (rule T5), not reserved. */
  readonly leafReserved: readonly [low: number, high: number];
  /** Low bits that make a load of CR3 fault (PAE's PDPTEs), and that a walk through memory ignores. */
  readonly refusedAtLoad?: number;
  /** Legacy large pages keep address bits 39:32 in bits 20:13 of the entry (PSE-36). */
  readonly pse36?: true;
}

export interface PagingMode {
  readonly name: PagingModeName;
  readonly entryBytes: 8 | 4;
  /** Bits of a linear address that are translated; the rest repeat the highest of them, or are zero below 64-bit mode. */
  readonly vaBits: 57 | 48 | 32;
  /** Whether addresses have a sign-extended upper half. */
  readonly canonical: boolean;
  /** Lowest bit of CR3 that belongs to the root's address. */
  readonly rootShift: 12 | 5;
  /** Highest bit of CR3 that belongs to the root's address. */
  readonly rootTop: 51 | 31;
  /** Root first. */
  readonly tables: readonly TableLevel[];
}

const PS = 0x80;
/** Address bits 29:13 of a 1 GiB leaf. */
const UNUSED_1G = 0x3fffe000;
/** Address bits 20:13 of a 2 MiB leaf. */
const UNUSED_2M = 0x001fe000;
/** Bits 62:52 are free for software in IA-32e paging and reserved in PAE. */
const PAE_HIGH = 0x7ff00000;

const PML5: TableLevel = {
  name: 'PML5',
  indexBits: 9,
  leaf: 'never',
  hasRights: true,
  reserved: [PS, 0],
  leafReserved: [0, 0],
};
const PML4: TableLevel = { ...PML5, name: 'PML4' };
const PDPT: TableLevel = {
  name: 'PDPT',
  indexBits: 9,
  leaf: 'page-size-bit',
  hasRights: true,
  reserved: [0, 0],
  leafReserved: [UNUSED_1G, 0],
};
const PD: TableLevel = { ...PDPT, name: 'PD', leafReserved: [UNUSED_2M, 0] };
const PT: TableLevel = {
  name: 'PT',
  indexBits: 9,
  leaf: 'always',
  hasRights: true,
  reserved: [0, 0],
  leafReserved: [0, 0],
};

/**
 * SDM table 4-8 reserves bits 2:1 and 8:5 of a PAE PDPTE, but the processor checks them only when it loads CR3. A walk through memory
 * meets them: QEMU's TCG reads PDPTEs from memory, sets the accessed bit there, and ignores bits 8:1. The high bits fault there, too.
 */
const PAE_PDPT: TableLevel = {
  name: 'PDPT',
  indexBits: 2,
  leaf: 'never',
  hasRights: false,
  reserved: [0, 0x80000000 | PAE_HIGH],
  refusedAtLoad: 0x1e6,
  leafReserved: [0, 0],
};
const PAE_PD: TableLevel = { ...PD, reserved: [0, PAE_HIGH], leafReserved: [UNUSED_2M, PAE_HIGH] };
const PAE_PT: TableLevel = { ...PT, leafReserved: [0, PAE_HIGH] };

/** SDM table 4-4: bit 21 of a 4 MiB leaf is reserved; bits 20:13 are address bits 39:32. */
const LEGACY_PD: TableLevel = {
  name: 'PD',
  indexBits: 10,
  leaf: 'page-size-bit',
  hasRights: true,
  reserved: [0, 0],
  leafReserved: [0x00200000, 0],
  pse36: true,
};
const LEGACY_PT: TableLevel = { ...PT, indexBits: 10 };

const LONG = { entryBytes: 8, canonical: true, rootShift: 12, rootTop: 51 } as const;

/** Every mode, by name. */
export const PAGING_MODES: Readonly<Record<PagingModeName, PagingMode>> = {
  '5-level': { ...LONG, name: '5-level', vaBits: 57, tables: [PML5, PML4, PDPT, PD, PT] },
  '4-level': { ...LONG, name: '4-level', vaBits: 48, tables: [PML4, PDPT, PD, PT] },
  pae: {
    name: 'pae',
    entryBytes: 8,
    vaBits: 32,
    canonical: false,
    rootShift: 5,
    rootTop: 31,
    tables: [PAE_PDPT, PAE_PD, PAE_PT],
  },
  '32-bit': {
    name: '32-bit',
    entryBytes: 4,
    vaBits: 32,
    canonical: false,
    rootShift: 12,
    rootTop: 31,
    tables: [LEGACY_PD, LEGACY_PT],
  },
};
