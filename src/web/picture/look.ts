/**
 * What a page is, as one small number: bits 2:0 the rights as `core/paging/rights` packs them, bit 3 swapped, bits 8:4 the logarithm of
 * the leaf's 4 KiB pages, bit 9 one frame again and again, bits 13:10 the protection key, bit 14 that the rights are not known.
 */

/** A number of `lookOf`. */
export type Look = number;

/** What colours a cell, most remarkable last: of several pages in one cell the last of these wins. */
export const KINDS = [
  'absent',
  'backed',
  'read-only',
  'executable',
  'writable',
  'swapped',
  'writable+executable',
] as const;
export type Kind = (typeof KINDS)[number];

const WRITABLE = 1;
const USER = 2;
const NO_EXECUTE = 4;
const SWAPPED = 8;
const ORDER_SHIFT = 4;
const REPEATS = 1 << 9;
const KEY_SHIFT = 10;
const KEY_MASK = 15;
const RIGHTS_UNKNOWN = 1 << 14;

/** A page on a swap device. */
export const SWAPPED_LOOK: Look = SWAPPED | NO_EXECUTE;

/** @param rights as `core/paging/rights` packs them @param slotPages 4 KiB pages that the leaf maps */
export function lookOf(rights: number, slotPages: number, repeats = false): Look {
  const order = Math.round(Math.log2(slotPages));
  return (rights & 7) | (order << ORDER_SHIFT) | (repeats ? REPEATS : 0) | ((rights >>> 4) << KEY_SHIFT);
}

/** A page of which a recording does not have the rights. */
export function lookWithoutRights(slotPages: number): Look {
  return RIGHTS_UNKNOWN | lookOf(NO_EXECUTE, slotPages);
}

/** The same page, mapped by a leaf of another size. */
export function withLeafPages(look: Look, slotPages: number): Look {
  return (look & ~(31 << ORDER_SHIFT)) | (Math.round(Math.log2(slotPages)) << ORDER_SHIFT);
}

export function isSwapped(look: Look): boolean {
  return (look & SWAPPED) !== 0;
}

export function isWritable(look: Look): boolean {
  return (look & WRITABLE) !== 0;
}

/** 4 KiB pages that the leaf maps. */
export function leafPages(look: Look): number {
  return 2 ** ((look >>> ORDER_SHIFT) & 31);
}

/** From the frame of one page to that of the next: 0 where all have the same. */
export function frameStep(look: Look): 0 | 1 {
  return (look & REPEATS) === 0 ? 1 : 0;
}

export function kindOf(look: Look): Kind {
  if (isSwapped(look)) return 'swapped';
  if ((look & RIGHTS_UNKNOWN) !== 0) return 'backed';
  const isExecutable = (look & NO_EXECUTE) === 0;
  if (isWritable(look)) return isExecutable ? 'writable+executable' : 'writable';
  return isExecutable ? 'executable' : 'read-only';
}

/** `rw-u`, as `ptmon map` writes it. */
export function rightsText(look: Look): string {
  if ((look & RIGHTS_UNKNOWN) !== 0) return '????';
  const key = (look >>> KEY_SHIFT) & KEY_MASK;
  return `r${isWritable(look) ? 'w' : '-'}${(look & NO_EXECUTE) === 0 ? 'x' : '-'}${(look & USER) === 0 ? '-' : 'u'}${key === 0 ? '' : key}`;
}

/** `4K`, `2M`, `4M`, `1G`. */
export function sizeName(look: Look): string {
  return bytesName(leafPages(look) * 4096);
}

/** `12K`, `2M`, `1.5G`: in the largest unit that gives at least 1, with one decimal. */
export function bytesName(byteLength: number): string {
  for (const [unit, name] of UNITS) if (byteLength >= unit) return `${Number((byteLength / unit).toFixed(1))}${name}`;
  return `${byteLength}B`;
}

const UNITS = [
  [2 ** 40, 'T'],
  [2 ** 30, 'G'],
  [2 ** 20, 'M'],
  [2 ** 10, 'K'],
] as const;

/** The virtual address of a page, `0x7f…000`. @param vpn page number, up to 2^52 */
export function addressText(vpn: number): string {
  return vpn === 0 ? '0x0' : `0x${vpn.toString(16)}000`;
}
