/** Physical addresses and frame numbers: plain numbers, checked once at the edge. */
import { PtmonError } from '../error.ts';
import type { Gfn, Pa } from './types.ts';
import { toU64 } from './va.ts';

// What a module exports or imports is read, and checked, at each use; what stays in it is a constant to the compiler. Here
// that is a multiplication instead of a division, and 10 ns of every mark.
const PAGE = 4096;
const LIMIT = 2 ** 52;

export const PAGE_BYTES = PAGE;

/** One more than the highest physical address that x86 can name (bits 51:0). */
export const PA_LIMIT = LIMIT;

/** Refuses what is not a physical address. */
export function toPa(value: bigint | number, what = 'physical address'): Pa {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < LIMIT) return value as Pa;
  const wide = toU64(value, what);
  if (wide >= BigInt(LIMIT)) {
    throw new PtmonError('bad-argument', `${what} 0x${wide.toString(16)} is not below 2^52`);
  }
  return Number(wide) as Pa;
}

/** The frame that holds `pa`. */
export function gfnOf(pa: number): Gfn {
  return Math.floor(pa / PAGE) as Gfn;
}

/** The physical address of byte `offset` of frame `gfn`. */
export function paOf(gfn: number, offset = 0): Pa {
  return (gfn * PAGE + offset) as Pa;
}

/** Byte of `pa` within its frame, 0 to 4095: `&` looks at the low 32 bits, where `%` of an address beyond 2^31 takes 30 ns. */
export function frameOffsetOf(pa: number): number {
  return pa & (PAGE - 1);
}

/** Whether `byteLength` bytes from `pa` on, at least one, are addresses that there can be. */
export function isPaRange(pa: number, byteLength: number): boolean {
  return Number.isInteger(pa) && Number.isInteger(byteLength) && pa >= 0 && byteLength > 0 && pa + byteLength <= LIMIT;
}
