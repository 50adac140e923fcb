/** Parsers of option values. What they refuse, commander reports after the option and the value: `--vcpus 17: not …`. */
import { InvalidArgumentError } from 'commander';
import type { PagingModeName } from '../../core/paging/modes.ts';

export const PAGING_MODES = ['4-level', '5-level', 'pae', '32-bit'] as const satisfies readonly PagingModeName[];

/** Decimal digits only: `1e3`, `0x10` and ` 7` are more likely typing errors than numbers. */
export function wholeNumber(min: number, max: number): (value: string) => number {
  return (value) => {
    const number = Number(value);
    if (!/^\d+$/.test(value) || number < min || number > max) {
      throw new InvalidArgumentError(`not an integer from ${min} to ${max}`);
    }
    return number;
  };
}

/** A decimal number above 0. */
export function positiveNumber(value: string): number {
  const number = Number(value);
  if (!/^\d+(\.\d+)?$/.test(value) || !(number > 0)) throw new InvalidArgumentError('must be a positive number');
  return number;
}

/** Some of these words, separated by commas. */
export function listOf<T extends string>(words: readonly T[]): (value: string) => T[] {
  return (value) => {
    const given = [...new Set(value.split(',').map((word) => word.trim()))];
    const unknown = given.find((word) => !words.includes(word as T));
    if (unknown === undefined) return given as T[];
    const what = unknown === '' ? 'an empty name' : `unknown name ${JSON.stringify(unknown)}`;
    throw new InvalidArgumentError(`${what}; give some of ${words.join(',')}, separated by commas`);
  };
}

/** An address of at most 64 bits as a word, or as a part of one: hexadecimal. Without `0x` it needs a digit, as `add` may be a symbol. */
export const HEX = '(?:0x|(?=[a-f]*[0-9]))([0-9a-f]{1,16})';

const ADDRESS = new RegExp(`^${HEX}$`, 'i');

/** Undefined for a text that is not a hexadecimal address. */
export function parseAddress(text: string): bigint | undefined {
  const match = ADDRESS.exec(text);
  return match === null ? undefined : BigInt(`0x${match[1]}`);
}

/** Collects physical addresses. */
export function addPhysical(text: string, before: readonly number[] = []): number[] {
  const pa = parseAddress(text);
  if (pa === undefined || pa >= 1n << 52n) {
    throw new InvalidArgumentError('not a physical address: write 1 to 13 hexadecimal digits');
  }
  return [...before, Number(pa)];
}

const TIME_UNITS: Readonly<Record<string, number>> = { ms: 0.001, '': 1, s: 1, m: 60, h: 3600 };

/** Seconds: `90`, `1.5s`, `500ms`, `5m`, `2h`. */
export function seconds(text: string): number {
  const match = /^(\d+(?:\.\d+)?)(ms|s|m|h)?$/.exec(text);
  const value = match === null ? NaN : Number(match[1]) * TIME_UNITS[match[2] ?? '']!;
  // A timer of Node counts milliseconds in 31 bits.
  if (value > 0 && value * 1000 < 2 ** 31) return value;
  throw new InvalidArgumentError('not a time: write 90, 90s, 5m, 2h or 500ms, up to 24 days');
}

/** Address bits within 51:32, where memory encryption takes them: `auto`, a mask, or one bit by its number. */
export function encryptionMask(text: string): bigint | 'auto' {
  if (text === 'auto') return 'auto';
  const [, bit] = /^bit[ :=]?(\d{1,2})$/.exec(text) ?? [];
  const mask = bit !== undefined ? 1n << BigInt(bit) : /^0x[0-9a-f]{1,16}$/i.test(text) ? BigInt(text) : undefined;
  if (mask === undefined)
    throw new InvalidArgumentError('write auto, 0x and hexadecimal digits, or bit and its number');
  if ((mask & ~0xf_ffff_0000_0000n) !== 0n) throw new InvalidArgumentError('it must be within bits 51:32');
  return mask;
}

const SIZE_UNITS = ['', 'K', 'M', 'G', 'T'];

/** A number of bytes: decimal, or hexadecimal after `0x`; K, M, G, T multiply it. */
export function byteCount(text: string): number {
  const match = /^(0x[\da-f]+|\d+)([KMGT]?)$/i.exec(text);
  const value = match === null ? NaN : Number(match[1]) * 1024 ** SIZE_UNITS.indexOf(match[2]!.toUpperCase());
  if (!Number.isSafeInteger(value)) {
    throw new InvalidArgumentError('not a number of bytes: write digits, and K, M, G or T after them');
  }
  return value;
}
