/** Physical addresses and frame numbers: plain numbers, checked once at the edge. */
import { PtmonError } from '../error.ts';
import type { Gfn, Pa } from './types.ts';
import { toU64 } from './va.ts';

// V8 reads and checks an export or import at each use; a module's own constant is a constant to the compiler. Here that makes a
// multiplication of a division.
const PAGE = 4096;
const LIMIT = 2 ** 52;

export const PAGE_BYTES = PAGE;

/** One more than the highest physical address that x86 can name (bits 51:0). */
export const PA_LIMIT = LIMIT;

/** Checks a physical address. @throws PtmonError `bad-argument` */
export function toPa(value: bigint | number, what = 'physical address'): Pa {
  if (typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < LIMIT) return value as Pa;
  const wide = toU64(value, what);
  if (wide >= BigInt(LIMIT)) {
    throw new PtmonError('bad-argument', `${what} 0x${wide.toString(16)} is not below 2^52`);
  }
  return Number(wide) as Pa;
}

/** The frame that `pa` is in. */
export function gfnOf(pa: number): Gfn {
  return Math.floor(pa / PAGE) as Gfn;
}

/** The physical address of byte `offset` of frame `gfn`. */
export function paOf(gfn: number, offset = 0): Pa {
  return (gfn * PAGE + offset) as Pa;
}

/** Byte of `pa` within its frame, 0 to 4095: `&` takes the low 32 bits; `%` of an address beyond 2^31 is slow. */
export function frameOffsetOf(pa: number): number {
  return pa & (PAGE - 1);
}

/** Whether `byteLength` bytes from `pa` on, at least one, are below 2^52. */
export function isPaRange(pa: number, byteLength: number): boolean {
  return Number.isInteger(pa) && Number.isInteger(byteLength) && pa >= 0 && byteLength > 0 && pa + byteLength <= LIMIT;
}
