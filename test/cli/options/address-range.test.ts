import { expect, test } from 'vitest';
import { addressRange } from '../../../src/cli/options/address-range.ts';

test.each([
  ['0x1234', 0x1234n, 0x1235n],
  ['0xffffffffffffffff', 2n ** 64n - 1n, 2n ** 64n],
  ['0x1234+4K', 0x1234n, 0x2234n],
  ['0x1000-0x3000', 0x1000n, 0x3000n],
  ['1000-3000', 0x1000n, 0x3000n],
  ['ffffffff81000000+2M', 0xffffffff81000000n, 0xffffffff81200000n],
])('%s', (text, from, to) => {
  expect(addressRange(text)).toEqual({ from, to });
});

test.each(['0x1+0', '0x2-0x1', '0xffffffffffffffff+2', '1234g', '0x1-', '-'])('%s is refused', (text) => {
  expect(() => addressRange(text)).toThrow();
});
