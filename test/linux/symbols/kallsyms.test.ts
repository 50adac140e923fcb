/** Tables as kernels of each age have them, read back; and any other bytes in their places. */
import { describe, expect, test } from 'vitest';
import type { LinuxKernel } from '../../../src/linux/kernel/kernel.ts';
import { finish } from '../../../src/linux/memory/steps.ts';
import { readKallsyms } from '../../../src/linux/symbols/kallsyms.ts';
import { Random } from '../../../src/testing/random.ts';
import { type KallsymsPlan, writeKallsyms, type WrittenSymbol } from './kallsyms-writer.ts';

const BASE_64 = 0xffff_ffff_8100_0000n;
const BASE_32 = 0xc100_0000n;

/** 5,000 symbols: of per-CPU data, then of code; some at one address, one with a long name. */
function symbolsFrom(base: bigint, hasPercpu: boolean): WrittenSymbol[] {
  const percpu = hasPercpu
    ? Array.from({ length: 40 }, (_, at) => ({ address: BigInt(at * 64), type: 'A', name: `percpu_${at}` }))
    : [];
  const code = Array.from({ length: 5000 }, (_, at) => ({
    address: base + BigInt(at >> 1) * 48n,
    type: at % 3 === 0 ? 'T' : 't',
    name: at === 700 ? `long${'x'.repeat(300)}` : at % 5 === 0 ? `__sys_tcp_${at}` : `function_${at}_init`,
  }));
  return [...percpu, { address: base, type: 'T', name: '_text' }, ...code];
}

/** A kernel whose image is these bytes. */
function kernelOf(bytes: Buffer, { base, wordBytes }: KallsymsPlan): LinuxKernel {
  const image = [{ va: base, byteLength: bytes.length, writable: false, executable: true }];
  const memory = {
    wordBytes,
    kernelStart: wordBytes === 8 ? 1n << 63n : 0x4000_0000n,
    bytes: (va: bigint, byteLength: number) => bytes.subarray(Number(va - base), Number(va - base) + byteLength),
  };
  return { memory, base, image } as unknown as LinuxKernel;
}

const PLANS: readonly (readonly [name: string, plan: KallsymsPlan])[] = (
  [
    ['6.1', 'percpu', 8],
    ['6.2', 'percpu', 8],
    ['6.4', 'percpu', 8],
    ['6.4', 'relative', 8],
    ['6.1', 'absolute', 8],
    ['6.1', 'relative', 4],
    ['6.1', 'absolute', 4],
    ['6.4', 'relative', 4],
    ['7.0', 'place', 8],
    ['7.0', 'place', 4],
    ['7.0', 'absolute', 4],
  ] as const
).map(([order, addresses, wordBytes]) => {
  const base = wordBytes === 8 ? BASE_64 : BASE_32;
  const symbols = symbolsFrom(base, addresses === 'percpu');
  return [`${order}, ${addresses}, ${wordBytes} bytes`, { symbols, order, addresses, wordBytes, base }] as const;
});

/** Bytes of an image in front of the tables. */
const BEFORE = 40_000;

/** The tables in an image, with other things before and behind. */
function imageWith(plan: KallsymsPlan): Buffer {
  const random = new Random(3);
  const noise = (length: number) => Buffer.from(Array.from({ length }, () => random.below(256)));
  const tables = writeKallsyms({ ...plan, at: plan.base + BigInt(BEFORE) });
  return Buffer.concat([noise(BEFORE), tables, Buffer.alloc(512), noise(20_000)]);
}

describe.each(PLANS)('%s', (_name, plan) => {
  test('every symbol is read', () => {
    const table = finish(readKallsyms(kernelOf(imageWith(plan), plan)))!;
    const read = Array.from({ length: table.size }, (_, index) => table.symbol(index));
    expect(read).toEqual(plan.symbols.map((symbol) => ({ ...symbol, module: null })));
  });

  test('addresses are named by the symbol that they are in', () => {
    const table = finish(readKallsyms(kernelOf(imageWith(plan), plan)))!;
    const { base } = plan;
    expect(table.find('function_2_init')?.address).toBe(base + 48n);
    expect(table.find('nothing')).toBeUndefined();
    const named = (va: bigint) => {
      const found = table.at(va);
      return found && `${found.symbol.name}+${found.offset}`;
    };
    // The first of those at one address.
    expect(named(base)).toBe('_text+0');
    expect(named(base + 48n + 5n)).toBe('function_2_init+5');
    expect([named(0x80n), named(base - 1n), named(base + 2499n * 48n + 4096n)]).toEqual([
      undefined,
      undefined,
      undefined,
    ]);
  });

  test('damaged in any place: something is read, or nothing', { timeout: 60_000 }, () => {
    const random = new Random(17);
    for (let round = 0; round < 40; round++) {
      const bytes = imageWith(plan);
      for (let harm = 0; harm <= round; harm++) bytes[random.below(bytes.length)] = random.below(256);
      const table = finish(readKallsyms(kernelOf(bytes, plan)));
      for (let index = 0; index < (table?.size ?? 0); index += 97) table!.symbol(index);
      table?.at(plan.base + 100n);
    }
  });
});

test('an image without tables has no symbols', () => {
  const [, plan] = PLANS[0]!;
  expect(finish(readKallsyms(kernelOf(Buffer.alloc(1 << 20), plan)))).toBeUndefined();
  expect(
    finish(readKallsyms(kernelOf(Buffer.alloc(1 << 20, '0\x001\x002\x003\x004\x005\x006\x007\x008\x009\0'), plan))),
  ).toBeUndefined();
});
