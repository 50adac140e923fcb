/** A range of addresses as an option: `0x…` for that one, `0x…+LENGTH`, `0x…-0x…`. */
import { InvalidArgumentError } from 'commander';
import { byteCount, HEX } from './values.ts';

export interface OptionRange {
  readonly from: bigint;
  /** Exclusive. */
  readonly to: bigint;
}

const VA_END = 2n ** 64n;
const FORM = new RegExp(`^${HEX}(?:\\+(\\w+)|-${HEX})?$`, 'i');

/** @throws InvalidArgumentError, which commander prints */
export function addressRange(text: string): OptionRange {
  const match = FORM.exec(text);
  if (match === null) {
    throw new InvalidArgumentError(
      /[+-]/.test(text) ? 'a range is 0x…+LENGTH (K, M, G or T after it), or 0x…-0x…' : 'not a hexadecimal address',
    );
  }
  const [, start, length, end] = match;
  const from = BigInt(`0x${start}`);
  const to = end !== undefined ? BigInt(`0x${end}`) : from + (length === undefined ? 1n : BigInt(byteCount(length)));
  if (to <= from) throw new InvalidArgumentError('the range is empty: its end must be above its start');
  if (to > VA_END) throw new InvalidArgumentError('the range ends above 2^64');
  return { from, to };
}
