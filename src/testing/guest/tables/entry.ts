/**
 * How this guest writes its page-table entries: bits as Linux uses them (arch/x86/include/asm/pgtable_types.h,
 * pgtable_64.h, pgtable-2level.h). An entry is two words; the address goes into both.
 */
import { highWord, lowWord } from '../../../core/address/va.ts';
import type { LevelFormat, Paging } from '../../../core/paging/format.ts';

export const PRESENT = 0x1;
export const WRITABLE = 0x2;
export const USER = 0x4;
export const CACHE_DISABLE = 0x10;
export const ACCESSED = 0x20;
export const DIRTY = 0x40;
export const LARGE = 0x80;
export const GLOBAL = 0x100;
/** In an entry that is not present: the page is kept, but inaccessible (PROT_NONE). In present entries this bit is GLOBAL. */
export const PROT_NONE = 0x100;

/** XD, in the high word. */
export const NO_EXECUTE = 0x80000000;

/** Swap type of a page that is being moved to another frame (the kernel's SWP_MIGRATION_WRITE). */
export const MIGRATION_TYPE = 31;

const ADDRESS_LO = 0xfffff000;
const ADDRESS_HI = 0x000fffff;

/** Builds the entries of one machine. */
export class EntryCodec {
  readonly #wide: boolean;
  readonly #encryptLo: number;
  readonly #encryptHi: number;

  constructor(paging: Paging) {
    this.#wide = paging.mode.entryBytes === 8;
    this.#encryptLo = lowWord(paging.encryptionMask);
    this.#encryptHi = highWord(paging.encryptionMask);
  }

  /** The address part of the low word. */
  addressLo(gfn: number): number {
    return (gfn << 12) | this.#encryptLo;
  }

  /** The address part of the high word. */
  addressHi(gfn: number): number {
    return Math.floor(gfn / 2 ** 20) | this.#encryptHi;
  }

  /** The frame in a present entry or in a PROT_NONE one, which has it inverted (against L1TF) where entries are wide. */
  gfnOf(lo: number, hi: number): number {
    const flip = this.#wide && (lo & PRESENT) === 0 ? -1 : 0;
    const low = ((lo ^ flip) & ADDRESS_LO & ~this.#encryptLo) >>> 12;
    return ((hi ^ flip) & ADDRESS_HI & ~this.#encryptHi) * 2 ** 20 + low;
  }

  /** The low word of the same entry with the page inaccessible. */
  protNoneLo(lo: number): number {
    const flags = (lo & 0xfff & ~(PRESENT | WRITABLE | GLOBAL)) | PROT_NONE;
    return (this.#wide ? ~lo & ADDRESS_LO : lo & ADDRESS_LO) | flags;
  }

  /** Its high word. */
  protNoneHi(hi: number): number {
    return this.#wide ? (hi & ~ADDRESS_HI) | (~hi & ADDRESS_HI) : hi;
  }

  /** The low word of an entry that says where in swap the page is. Wide entries have the offset inverted (L1TF). */
  swapLo(type: number, offset: number): number {
    return this.#wide ? ~offset << 9 : (offset << 9) | (type << 1);
  }

  /** Its high word: type in bits 63:59, the upper bits of the inverted offset below. */
  swapHi(type: number, offset: number): number {
    return this.#wide ? (type << 27) | (~(offset >>> 23) & 0x07ffffff) : 0;
  }

  /** Whether an entry that is not present says where in swap the page is. */
  isSwap(lo: number, hi: number): boolean {
    return (lo & (PRESENT | PROT_NONE)) === 0 && (lo | hi) !== 0;
  }

  /** The offset in a swap entry. */
  swapOffset(lo: number): number {
    return this.#wide ? ~lo >>> 9 : lo >>> 9;
  }
}

/** Whether the entry keeps an inaccessible page. */
export function isProtNone(lo: number): boolean {
  return (lo & (PRESENT | PROT_NONE)) === PROT_NONE;
}

/** The flags of an entry that points at a table: everything allowed, the leaf decides. PAE's PDPTEs have no other flags. */
export function tableFlags(format: LevelFormat, user: boolean): number {
  if (format.rightsMask === 0) return PRESENT;
  return PRESENT | WRITABLE | ACCESSED | DIRTY | (user ? USER : 0);
}
