/**
 * Between the 64-bit values of the API and the numbers of the engine. The only home of bigint in the core.
 *
 * A bigint is taken apart by storing it in a `BigUint64Array` and reading the two words behind it: 10 ns, where shifting
 * and masking bigints takes 150. The words stand low first, as on every machine that Node 20 runs ptmon's drivers on.
 */
import { PtmonError } from '../error.ts';
import type { Va, Vpn } from './types.ts';

const words = new Uint32Array(2);
const whole = new BigUint64Array(words.buffer);

const WORD = 2 ** 32;

/** Refuses what is not a 64-bit unsigned value. A number is taken where it is exact. */
export function toU64(value: bigint | number, what: string): bigint {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value) || value < 0) {
      throw new PtmonError('bad-argument', `${what} ${value} is not an exact unsigned integer; pass a bigint`);
    }
    return BigInt(value);
  }
  if (typeof value !== 'bigint' || BigInt.asUintN(64, value) !== value) {
    throw new PtmonError('bad-argument', `${what} ${String(value)} is not an unsigned 64-bit value`);
  }
  return value;
}

/** Bits 63:12 of `va`. */
export function vpnOf(va: Va): Vpn {
  whole[0] = va;
  return (words[1]! * 2 ** 20 + (words[0]! >>> 12)) as Vpn;
}

/** Bits 11:0 of `va`. */
export function offsetOf(va: Va): number {
  whole[0] = va;
  return words[0]! & 0xfff;
}

/** The virtual address of byte `offset` (0 to 4095) of page `vpn`. */
export function vaOf(vpn: number, offset: number): Va {
  const high = Math.floor(vpn / 2 ** 20);
  return u64Of((vpn - high * 2 ** 20) * 4096 + offset, high);
}

/** One 64-bit value from its two 32-bit words. */
export function u64Of(lo: number, hi: number): bigint {
  return BigInt.asUintN(64, (BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
}

/** Bits 31:0 of an unsigned 64-bit value. */
export function lowWord(value: bigint): number {
  whole[0] = value;
  return words[0]!;
}

/** Bits 63:32 of an unsigned 64-bit value. */
export function highWord(value: bigint): number {
  whole[0] = value;
  return words[1]!;
}

/** The low word of an exact number below 2^53. */
export function lowWordOf(value: number): number {
  return value >>> 0;
}

/** The high word of an exact number below 2^53. */
export function highWordOf(value: number): number {
  return Math.floor(value / WORD);
}

/** `0x` and lower-case digits, without padding. */
export function hex(value: bigint | number): string {
  return `0x${value.toString(16)}`;
}
