/** A range of addresses as an option: `0x…` for that one, `0x…+LENGTH`, `0x…-0x…`. */
import { InvalidArgumentError } from 'commander';
import { byteCount } from '../option-values.ts';

export interface OptionRange {
  readonly from: bigint;
  /** Exclusive. */
  readonly to: bigint;
}

const VA_END = 2n ** 64n;

/** @throws InvalidArgumentError which commander shows */
export function addressRange(text: string): OptionRange {
  const match = /^(0x[\da-f]{1,16})(?:\+(\w+)|-(0x[\da-f]{1,16}))?$/i.exec(text);
  if (match === null) throw new InvalidArgumentError('Write 0x…, 0x…+LENGTH (K, M, G, T after it), or 0x…-0x….');
  const [, start, length, end] = match;
  const from = BigInt(start!);
  const to = end !== undefined ? BigInt(end) : from + (length === undefined ? 1n : BigInt(byteCount(length)));
  if (to <= from || to > VA_END)
    throw new InvalidArgumentError('The range must end behind its start, and within 64 bits.');
  return { from, to };
}
