/**
 * Maps of guest RAM: as people write them, and as QEMU's PC machines lay their RAM out.
 *
 * A map is `ADDRESS+SIZE@POSITION` for each region, separated by commas: `0x0+3G@0,0x100000000+1G@3G`. Numbers are decimal, or
 * hexadecimal after `0x`; K, M, G or T after a number multiplies it by a power of 1024.
 *
 * A PC keeps room for devices below 4 GiB. RAM that does not fit below that hole goes on at 4 GiB, while the file goes on where it
 * was. QEMU 7.2, hw/i386: `pc` splits RAM of 3.5 GiB and more at 3 GiB, `q35` RAM of 2.75 GiB and more at 2 GiB, `microvm` at 3 GiB.
 * The machine option `max-ram-below-4g` lowers the split; RAM that would reach the hole below 1 TiB of an AMD guest begins there.
 */
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { type RamRegion, RamRegions } from './ram-regions.ts';

const GIB = 2 ** 30;

/** Where RAM goes on that does not fit below the hole. */
const HIGH_PA = 4 * GIB;

/** From here on `q35`, the first of QEMU's machines to do so, splits RAM. */
const FIRST_SPLIT = 2.75 * GIB;

const UNITS = ['', 'K', 'M', 'G', 'T'];

/**
 * Reads a map of RAM as a person writes it.
 *
 * @returns the regions in ascending order
 * @throws PtmonError `bad-argument` for what is not a map, and as `RamRegions`
 */
export function parseRamMap(text: string): readonly RamRegion[] {
  const regions = text.split(',').map((part) => {
    const [pa, byteLength, position] = /^([^+@]+)\+([^+@]+)@([^+@]+)$/.exec(part)?.slice(1).map(parseNumber) ?? [];
    if (pa === undefined || byteLength === undefined || position === undefined) {
      throw new PtmonError(
        'bad-argument',
        `"${part.trim()}" is not a region of RAM; write ADDRESS+SIZE@POSITION, for example 0x100000000+1G@3G`,
      );
    }
    return { pa, byteLength, position };
  });
  return new RamRegions(regions).list;
}

/** As `parseRamMap` reads it. */
export function formatRamMap(regions: readonly RamRegion[]): string {
  return regions
    .map(({ pa, byteLength, position }) => `${hex(pa)}+${formatByteLength(byteLength)}@${hex(position)}`)
    .join();
}

/**
 * RAM in one piece from address 0, which is what a file is that is too small to be split.
 *
 * @throws PtmonError `bad-argument` from 2.75 GiB on: such a guest has a hole in its RAM, and the file does not tell where
 */
export function plainRegions(byteLength: number): readonly RamRegion[] {
  if (byteLength >= FIRST_SPLIT) {
    throw new PtmonError(
      'bad-argument',
      `${sizeText(byteLength)} of RAM do not fit below the hole for devices under 4 GiB, so a map must be given: ` +
        `for QEMU's pc machine ${formatRamMap(pcRegions(byteLength, 3 * GIB))}, ` +
        `for q35 ${formatRamMap(pcRegions(byteLength, 2 * GIB))}`,
    );
  }
  return new RamRegions([{ pa: 0, byteLength, position: 0 }]).list;
}

/**
 * RAM of a PC: up to `lowByteLength` bytes below the hole, the rest from 4 GiB on, in one file.
 *
 * @throws PtmonError `bad-argument`
 */
export function pcRegions(byteLength: number, lowByteLength: number): readonly RamRegion[] {
  if (!(lowByteLength > 0 && lowByteLength <= HIGH_PA)) {
    throw new PtmonError('bad-argument', `RAM below 4 GiB cannot be ${lowByteLength} bytes`);
  }
  const low = { pa: 0, byteLength: Math.min(byteLength, lowByteLength), position: 0 };
  if (byteLength <= lowByteLength) return new RamRegions([low]).list;
  return new RamRegions([low, { pa: HIGH_PA, byteLength: byteLength - lowByteLength, position: lowByteLength }]).list;
}

/** `3G`, `1537M`: in the largest unit that divides it. */
export function formatByteLength(byteLength: number): string {
  const power = UNITS.findLastIndex((_, at) => byteLength > 0 && byteLength % 1024 ** at === 0);
  return power < 1 ? String(byteLength) : `${byteLength / 1024 ** power}${UNITS[power]}`;
}

/** The same in a sentence. */
export function sizeText(byteLength: number): string {
  const text = formatByteLength(byteLength);
  if (/\D$/.test(text)) return text;
  return byteLength === 1 ? '1 byte' : `${text} bytes`;
}

function parseNumber(text: string): number | undefined {
  const match = /^(0x[\da-f]+|\d+)([KMGT]?)$/i.exec(text.trim());
  if (match === null) return undefined;
  const value = Number(match[1]) * 1024 ** UNITS.indexOf(match[2]!.toUpperCase());
  return Number.isSafeInteger(value) ? value : undefined;
}
