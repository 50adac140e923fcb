import { expect, test } from 'vitest';
import { SparseMemory } from '../../src/core/memory/sparse-memory.ts';
import { makePaging } from '../../src/core/paging/format.ts';
import { areaAt, kernelAreas } from '../../src/linux/areas/kernel-areas.ts';
import type { LinuxKernel } from '../../src/linux/kernel/kernel.ts';
import { KernelMemory } from '../../src/linux/memory/kernel-memory.ts';
import { SymbolTable } from '../../src/linux/symbols/symbol-table.ts';

/** A kernel that has these symbols, of which no variable can be read: areas are where the documentation has them. */
function areasOf(mode: '4-level' | '5-level', names: readonly string[]) {
  const memory = new KernelMemory(makePaging({ mode }), new SparseMemory(), 0x1000);
  const addresses = BigUint64Array.from(names, (_, index) => 0xffff_ffff_8100_0000n + BigInt(index) * 16n);
  const symbol = (index: number) => ({ address: addresses[index]!, type: 'D', name: names[index]!, module: null });
  const symbols = new SymbolTable({ addresses, symbol }, memory.kernelStart);
  const kernel = { memory, image: [], base: 0xffff_ffff_8100_0000n } as unknown as LinuxKernel;
  return kernelAreas({ kernel, symbols, modules: [] });
}

test.each([
  ['4-level', 0xffff_ec00_0000_0000n, 0xffff_fbff_ffff_f000n],
  ['5-level', 0xffdf_0000_0000_0000n, 0xffff_fbff_ffff_f000n],
] as const)("%s: KASAN's shadow is an area of the kernels that have it, and of no others", (mode, first, last) => {
  const withKasan = areasOf(mode, ['schedule', 'kasan_early_shadow_page']);
  for (const va of [first, last]) expect(areaAt(withKasan, va)?.name).toBe('KASAN shadow');
  expect(areaAt(withKasan, first - 1n)?.name).not.toBe('KASAN shadow');
  expect(areaAt(withKasan, last + 0x1000n)?.name).not.toBe('KASAN shadow');
  expect(areaAt(areasOf(mode, ['schedule']), first)?.name).not.toBe('KASAN shadow');
});
