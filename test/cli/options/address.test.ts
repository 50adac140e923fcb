import { expect, test } from 'vitest';
import { addAddress, addAddressOrSymbol } from '../../../src/cli/options/address.ts';

test.each([
  ['sys_call_table', { va: 0n, byteLength: undefined, tag: 'sys_call_table', symbol: 'sys_call_table' }],
  ['init_task+4K=first', { va: 0n, byteLength: 4096n, tag: 'first', symbol: 'init_task' }],
  ['__x64_sys_read.cold+0x10', { va: 0n, byteLength: 16n, tag: '__x64_sys_read.cold', symbol: '__x64_sys_read.cold' }],
  // As everywhere, hexadecimal digits with a digit among them are an address.
  ['abc1', { va: 0xabc1n, byteLength: undefined, tag: undefined }],
  ['0xadd+2M=x', { va: 0xaddn, byteLength: 2n ** 21n, tag: 'x' }],
  ['add', { va: 0n, byteLength: undefined, tag: 'add', symbol: 'add' }],
] as const)('--va %s', (text, expected) => {
  expect(addAddressOrSymbol(text)).toEqual([expected]);
});

test.each(['1000g', '', 'a b', '0x', 'main+', '0x10-0x20'])('--va %s is neither', (text) => {
  expect(() => addAddressOrSymbol(text)).toThrow(/not a hexadecimal address|a range is/);
});

test('where no kernel can be asked, a symbol is none', () => {
  expect(() => addAddress('sys_call_table')).toThrow(/not a hexadecimal address/);
});
