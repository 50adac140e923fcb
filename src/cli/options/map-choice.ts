/** The value of `--map`: `heap`, `stack`, a file, or an address in it. */
import { InvalidArgumentError } from 'commander';
import type { MapChoice } from '../../linux/index.ts';

/** @throws InvalidArgumentError, which commander prints */
export function mapOption(text: string): MapChoice {
  if (text === '') {
    throw new InvalidArgumentError('empty; write heap, stack, anon, the path or name of a file, or 0x…');
  }
  if (/^0x/i.test(text)) {
    if (/^0x[0-9a-f]{1,16}$/i.test(text)) return { kind: 'at', va: BigInt(text) };
    throw new InvalidArgumentError('not a hexadecimal address: write 0x and 1 to 16 digits');
  }
  return { kind: 'named', name: text.replace(/^\[(.*)\]$/, '$1') };
}
