/**
 * One machine's paging: a mode, and what CPUID and the control registers say about it, turned into masks.
 *
 * An entry is two 32-bit words: a number cannot represent 64 bits exactly, and reading a `BigUint64Array` is four times as slow. The
 * address comes out as a frame number:
 *
 *      high word                        low word
 *      63 62…59 58…52 51…………………32      31………………12 11…9 8 7  6 5 4 3 2 1 0
 *      XD  PK    free  address          address     free G PS D A PCD PWT US RW P
 */
import { PAGE_BYTES } from '../address/pa.ts';
import type { Pa, Vpn } from '../address/types.ts';
import { highWord, toU64, vpnOf } from '../address/va.ts';
import { checkNames, PtmonError } from '../error.ts';
import { PAGING_MODES, type PagingMode, type PagingModeName, type TableLevel } from './modes.ts';

// Constants to the compiler, as exports are not (`address/pa.ts`).
const ABSENT = 0;
const TABLE = 1;
const LEAF = 2;
const RESERVED = 3;

/** What an entry is. */
export const ENTRY_ABSENT = ABSENT;
export const ENTRY_TABLE = TABLE;
export const ENTRY_LEAF = LEAF;
export const ENTRY_RESERVED = RESERVED;
export type EntryKind = typeof ENTRY_ABSENT | typeof ENTRY_TABLE | typeof ENTRY_LEAF | typeof ENTRY_RESERVED;

const PRESENT = 1;
const PS = 0x80;
const GLOBAL = 0x100;

export interface PagingOptions {
  readonly mode: PagingModeName;
  /** MAXPHYADDR, 32 to 52 (CPUID 80000008H:EAX[7:0]); defaults to 52. Address bits at or above it are reserved. */
  readonly physicalAddressBits?: number;
  /**
   * Address bits that memory encryption uses (AMD's C-bit): neither part of an address nor reserved. Within
   * bits 51:32, so legacy 32-bit paging, whose entries end at bit 31, has none (APM vol. 2, 7.10).
   */
  readonly encryptionMask?: bigint;
  /** EFER.NXE; defaults to true. Without it XD is reserved. Legacy 32-bit paging has no XD. */
  readonly noExecuteEnable?: boolean;
  /** CR4.PSE; defaults to true. Without it legacy 32-bit paging has no large pages. */
  readonly pageSizeExtensions?: boolean;
  /**
   * Whose rules the processor follows where they differ (CPUID 0H). Defaults to `intel`. `amd`: bit 8 of a PML4E or PML5E must be
   * zero (APM vol. 2, 5.3.3), where Intel ignores it.
   */
  readonly vendor?: 'intel' | 'amd';
  /** Whether there are 1 GiB pages (CPUID 80000001H:EDX[26]); defaults to true. Without them bit 7 of a PDPTE is reserved. */
  readonly gigabytePages?: boolean;
}

/** How the entries of one level read on this machine. */
export interface LevelFormat {
  readonly name: TableLevel['name'];
  /** 1 (PT) to 5 (PML5). */
  readonly level: number;
  /** Slots in a table of this level: 512, 1024 (legacy) or 4 (PAE's PDPT). */
  readonly slots: number;
  /** 4 KiB pages that one slot covers. A leaf at this level maps that many. */
  readonly slotPages: number;
  /** Bits of the low word that make a present entry a leaf: 1 always, PS by page size, 0 never. */
  readonly leafBit: number;
  readonly tableReservedLo: number;
  readonly tableReservedHi: number;
  /** Of the low word, bits that a walk ignores and that no guest has set where it loads CR3. */
  readonly refusedAtLoad: number;
  readonly leafReservedLo: number;
  readonly leafReservedHi: number;
  /** Of the low word, the address bits of a leaf of this level. */
  readonly leafAddressLo: number;
  /** Of the high word, the address bits of any entry. */
  readonly addressHi: number;
  /** Of `low >>> 13`, the bits that are address bits 39:32 (PSE-36); 0 elsewhere. */
  readonly pse36: number;
  /** Of `low >>> 1`, the bits that restrict: writable and user (3), or none (0). */
  readonly rightsMask: number;
  /** Of `high >>> 31`, whether XD counts. */
  readonly noExecuteMask: number;
  /** Of `high >>> 27`, the protection key of a leaf: 15, or 0 where the mode has none. */
  readonly keyMask: number;
}

export interface Paging {
  readonly mode: PagingMode;
  readonly physicalAddressBits: number;
  readonly encryptionMask: bigint;
  readonly vendor: 'intel' | 'amd';
  readonly gigabytePages: boolean;
  /** Root first, as a walk meets them. */
  readonly levels: readonly LevelFormat[];
  /** By level number: `byLevel[1]` is the page table's. `byLevel[0]` is unused and repeats it. */
  readonly byLevel: readonly LevelFormat[];
  /** First page above the lower half (or above everything where there is no upper half). */
  readonly lowEnd: number;
  /** First page of the upper half; 2^52 where there is none. */
  readonly highStart: number;
  /** A number below this that is a multiple of `rootAlignment` needs no masking to be a root; 0 where every root does. */
  readonly plainRootEnd: number;
  readonly rootAlignment: number;
}

const VPN_LIMIT = 2 ** 52;
/** One more than the highest frame number. */
const GFN_LIMIT = 2 ** 40;

/** The masks for one machine. @throws PtmonError `bad-argument` */
export function makePaging(options: PagingOptions): Paging {
  if (!Object.hasOwn(PAGING_MODES, options.mode)) {
    const names = Object.keys(PAGING_MODES).join(', ');
    throw new PtmonError('bad-argument', `paging mode "${String(options.mode)}" is not one of ${names}`);
  }
  const mode = PAGING_MODES[options.mode];
  const bits = options.physicalAddressBits ?? 52;
  if (!Number.isInteger(bits) || bits < 32 || bits > 52) {
    throw new PtmonError('bad-argument', `physical address bits ${bits} is not an integer from 32 to 52`);
  }
  const encryptionMask = toU64(options.encryptionMask ?? 0n, 'encryption mask');
  if ((encryptionMask & ~0xf_ffff_0000_0000n) !== 0n) {
    throw new PtmonError('bad-argument', `encryption mask 0x${encryptionMask.toString(16)} is not within bits 51:32`);
  }

  const { vendor = 'intel', noExecuteEnable = true, pageSizeExtensions = true, gigabytePages = true } = options;
  const flags = { noExecuteEnable, pageSizeExtensions, gigabytePages };
  checkNames('paging', options, ['mode', 'physicalAddressBits', 'encryptionMask', 'vendor', ...Object.keys(flags)]);
  for (const [name, flag] of Object.entries(flags)) {
    if (typeof flag !== 'boolean') throw new PtmonError('bad-argument', `${name} ${String(flag)} is not a boolean`);
  }
  if (vendor !== 'intel' && vendor !== 'amd') {
    throw new PtmonError('bad-argument', `vendor "${String(vendor)}" is not one of intel, amd`);
  }
  const machine = {
    physicalAddressBits: bits,
    encryptionMask,
    vendor,
    ...flags,
  };
  const levels = mode.tables.map((_, index) => levelFormat(mode, index, machine));
  const byLevel = [...levels, levels.at(-1)!].reverse();
  const lowEnd = 2 ** (mode.vaBits - 12 - (mode.canonical ? 1 : 0));
  const highStart = mode.canonical ? VPN_LIMIT - lowEnd : VPN_LIMIT;
  return {
    mode,
    physicalAddressBits: bits,
    encryptionMask,
    vendor,
    gigabytePages,
    levels,
    byLevel,
    lowEnd,
    highStart,
    plainRootEnd: encryptionMask === 0n ? 2 ** (mode.rootTop + 1) : 0,
    rootAlignment: 2 ** mode.rootShift,
  };
}

/** The format of the table at `index`, counted from the root. */
function levelFormat(mode: PagingMode, index: number, machine: Required<Omit<PagingOptions, 'mode'>>): LevelFormat {
  const table: TableLevel = mode.tables[index]!;
  const { physicalAddressBits, encryptionMask } = machine;
  const below = mode.tables.slice(index + 1).reduce((bits, next) => bits + next.indexBits, 0);
  const wide = mode.entryBytes === 8;
  const noExecute = wide && machine.noExecuteEnable;
  const level = mode.tables.length - index;
  const lacksPages = mode.canonical && level === 3 && !machine.gigabytePages;
  const large = table.leaf === 'page-size-bit' && (wide || machine.pageSizeExtensions) && !lacksPages;
  const vendorReserved = mode.canonical && level > 3 && machine.vendor === 'amd' ? GLOBAL : 0;
  const encryptHi = highWord(encryptionMask);

  // Bits 51:MAXPHYADDR, and XD where it is not enabled (SDM 4.1.4, 4.6). An encryption bit is neither.
  const beyondHi = wide ? ~(2 ** (physicalAddressBits - 32) - 1) & 0xfffff & ~encryptHi : 0;
  const xdHi = wide && !noExecute ? 0x80000000 : 0;
  const pse36Bits = table.pse36 ? Math.min(physicalAddressBits, 40) - 32 : 0;
  const pse36 = 2 ** pse36Bits - 1;
  const pse36Reserved = table.pse36 ? (0xff & ~pse36) << 13 : 0;

  return {
    name: table.name,
    level,
    slots: 2 ** table.indexBits,
    slotPages: 2 ** below,
    leafBit: table.leaf === 'always' ? PRESENT : large ? PS : 0,
    tableReservedLo: table.reserved[0] | vendorReserved | (lacksPages ? PS : 0),
    tableReservedHi: table.reserved[1] | beyondHi | xdHi,
    refusedAtLoad: table.refusedAtLoad ?? 0,
    leafReservedLo: table.leafReserved[0] | pse36Reserved,
    leafReservedHi: table.leafReserved[1] | beyondHi | xdHi,
    leafAddressLo: ~(2 ** (12 + below) - 1),
    addressHi: wide ? 0xfffff & ~beyondHi & ~encryptHi : 0,
    pse36,
    rightsMask: table.hasRights ? 3 : 0,
    noExecuteMask: noExecute && table.hasRights ? 1 : 0,
    keyMask: mode.canonical ? 15 : 0,
  };
}

/** What the entry is at this level: absent, a pointer to a table, a leaf, or reserved (rules T4 to T6). */
export function kindOf(format: LevelFormat, lo: number, hi: number): EntryKind {
  if ((lo & PRESENT) === 0) return ABSENT;
  if ((lo & format.leafBit) !== 0) {
    return (lo & format.leafReservedLo) | (hi & format.leafReservedHi) ? RESERVED : LEAF;
  }
  return (lo & format.tableReservedLo) | (hi & format.tableReservedHi) ? RESERVED : TABLE;
}

/** The table or page that an entry leads to, as one number: equal for values that lead alike, whatever else they say. */
export function targetOf(format: LevelFormat, lo: number, hi: number): number {
  const kind = kindOf(format, lo, hi);
  const gfn = kind === TABLE ? tableGfn(format, lo, hi) : kind === LEAF ? leafGfn(format, lo, hi) : 0;
  return kind * GFN_LIMIT + gfn;
}

/** The frame of the table that a pointer names. */
export function tableGfn(format: LevelFormat, lo: number, hi: number): number {
  return (hi & format.addressHi) * 2 ** 20 + (lo >>> 12);
}

/** The first frame of the page that a leaf maps. */
export function leafGfn(format: LevelFormat, lo: number, hi: number): number {
  return ((hi & format.addressHi) | ((lo >>> 13) & format.pse36)) * 2 ** 20 + ((lo & format.leafAddressLo) >>> 12);
}

/**
 * 1 where an entry of a page table maps a frame, else 0. Computed without a branch: where pages come and go at random, a processor
 * mispredicts half of the branches.
 */
export function mapsPage(format: LevelFormat, lo: number, hi: number): number {
  return (lo & format.leafReservedLo) | (hi & format.leafReservedHi) ? 0 : lo & PRESENT;
}

/** The root that a CR3 value names (rule T2): PCID, LAM and encryption bits, and bit 63, are not part of it. */
export function rootOf(paging: Paging, cr3: bigint | number): Pa {
  // Most are roots already, as numbers: no need for a bigint.
  if (typeof cr3 === 'number' && cr3 >= 0 && cr3 < paging.plainRootEnd && isMultiple(cr3, paging.rootAlignment)) {
    return cr3 as Pa;
  }
  const { rootShift, rootTop } = paging.mode;
  const mask = ((1n << BigInt(rootTop + 1)) - 1n) & ~((1n << BigInt(rootShift)) - 1n) & ~paging.encryptionMask;
  return Number(toU64(cr3, 'root') & mask) as Pa;
}

/** `%` takes ten times as long for numbers beyond 2^31. */
function isMultiple(value: number, unit: number): boolean {
  return Math.floor(value / unit) * unit === value;
}

/** Whether page `vpn` can be translated in this mode at all (rule T3). */
export function isCanonical(paging: Paging, vpn: number): boolean {
  return vpn < paging.lowEnd || vpn >= paging.highStart;
}

/** The page that `va` lies in. @throws PtmonError `non-canonical` (rule T3), `bad-argument` */
export function canonicalVpn(paging: Paging, va: bigint | number): Vpn {
  if (typeof va === 'number' && Number.isSafeInteger(va) && va >= 0) {
    const vpn = Math.floor(va / PAGE_BYTES);
    if (isCanonical(paging, vpn)) return vpn as Vpn;
  }
  const value = toU64(va, 'virtual address');
  const vpn = vpnOf(value);
  if (!isCanonical(paging, vpn)) {
    throw new PtmonError(
      'non-canonical',
      `virtual address 0x${value.toString(16)} is not canonical in ${paging.mode.name} paging (${paging.mode.vaBits} bits)`,
      { va: value },
    );
  }
  return vpn;
}

/** A canonical page number without the hole between the halves: what the translated address bits alone say. */
export function foldVpn(paging: Paging, vpn: number): number {
  return vpn < paging.highStart ? vpn : vpn - (paging.highStart - paging.lowEnd);
}

/** The canonical page number of a folded one. */
export function unfoldVpn(paging: Paging, page: number): Vpn {
  return (page < paging.lowEnd ? page : page + (paging.highStart - paging.lowEnd)) as Vpn;
}

/** The slot of a table of this level that translates a page, folded or not. */
export function slotOf(format: LevelFormat, page: number): number {
  return Math.floor(page / format.slotPages) & (format.slots - 1);
}
