/** Page tables whose entries have a bit of memory encryption: it is found, in roots and by a search, and can be named. */
import { describe, expect, test } from 'vitest';
import { hex } from '../../src/core/address/va.ts';
import type { PagingModeName } from '../../src/core/paging/modes.ts';
import { findAddressSpace, findRoots, listRanges } from '../../src/snapshot/index.ts';
import { run } from '../cli/run.ts';
import { dumpFile, elfDump, notesOf, PAGE } from '../drivers/dump/write-dump.ts';
import { all, PRESENT, SpaceBuilder, USER, WRITABLE } from './space.ts';

const KERNEL: Readonly<Partial<Record<PagingModeName, bigint>>> = {
  '5-level': 0xff11_0000_0000_0000n,
  '4-level': 0xffff_8880_0000_0000n,
  pae: 0xc000_0000n,
};
const TABLES = 0x10_0000;

/** A kernel and three processes, whose entries all have `mask`. */
function guest(mode: PagingModeName, mask: bigint) {
  const kernel = new SpaceBuilder(mode).map(KERNEL[mode]!, 320, 0n, PRESENT | WRITABLE);
  const { machine } = kernel;
  const { slots } = machine.paging.levels[0]!;
  const roots = [kernel.root, kernel.newTable(), kernel.newTable(), kernel.newTable()];
  for (const root of roots.slice(1)) {
    for (let slot = slots / 2; slot < slots; slot++)
      machine.put(root + BigInt(slot * 8), machine.read(kernel.root + BigInt(slot * 8), 8)!);
    machine.put(root, kernel.newTable() | (mode === 'pae' ? PRESENT : PRESENT | WRITABLE | USER));
  }
  const { byteLength } = kernel.snapshot().regions[0]!;
  for (let pa = TABLES; pa < byteLength; pa += 8) {
    const entry = machine.read(BigInt(pa), 8)!;
    if ((entry & PRESENT) !== 0n) machine.put(BigInt(pa), entry | mask);
  }
  return { kernel, roots: roots.map(Number) };
}

describe.each(['5-level', '4-level', 'pae'] as const)('%s', (mode) => {
  test.each([51n, 47n, 36n])('a search finds bit %i and the roots that have it', async (bit) => {
    const { kernel, roots } = guest(mode, 1n << bit);
    const sure = (await findRoots(kernel.snapshot())).filter(({ confidence }) => confidence === 'sure');
    expect(sure.map(({ root }) => root).sort()).toEqual([...roots].sort());
    expect(new Set(sure.map(({ encryptionMask }) => encryptionMask))).toEqual(new Set([1n << bit]));
    const space = await findAddressSpace(kernel.snapshot());
    expect(space.from).toContain(`encryption bits ${hex(1n << bit)}`);
    expect(await all(listRanges(kernel.snapshot(), space))).toMatchObject([{ va: KERNEL[mode], pa: 0 }]);
  });

  test('a root that is given shows its bit, and one without a bit has none', async () => {
    const { kernel, roots } = guest(mode, 1n << 47n);
    const space = await findAddressSpace(kernel.snapshot(), { root: BigInt(roots[1]!), mode });
    expect(space.paging.encryptionMask).toBe(1n << 47n);
    const plain = guest(mode, 0n);
    expect(
      (await findAddressSpace(plain.kernel.snapshot(), { root: BigInt(roots[1]!), mode })).paging.encryptionMask,
    ).toBe(0n);
    expect((await findRoots(plain.kernel.snapshot()))[0]).not.toHaveProperty('encryptionMask');
  });
});

test('tables that all lie above the memory that a dump has are missing, not encrypted', async () => {
  const { kernel, roots } = guest('4-level', 0n);
  const { byteLength } = kernel.snapshot().regions[0]!;
  const frames = new Map<number, Uint8Array>();
  for (let gfn = 0; gfn < byteLength / PAGE; gfn++)
    frames.set(gfn, new Uint8Array(kernel.machine.memory.page(gfn)?.slice().buffer ?? new ArrayBuffer(PAGE)));
  // The kernel's root is in low memory, what it leads to from 4 GiB on.
  const root = Buffer.from(frames.get(roots[0]! / PAGE)!);
  for (let at = 0; at < PAGE; at += 8) if (root[at] !== 0) root[at + 4] = 1;
  frames.set(roots[0]! / PAGE, root);
  const cr3 = BigInt(roots[0]!);
  const path = dumpFile(elfDump(frames, { notes: notesOf([{ cr0: 0x8000_0001n, cr3, cr4: 0x20n }]) }));
  const { code, stdout, stderr } = await run(['map', path]);
  expect(stdout).not.toContain('encryption bits');
  expect(stderr).toContain('1 page table is missing');
  expect(code).toBe(5);
});

describe('--encryption-mask', () => {
  function path(): string {
    const { kernel, roots } = guest('4-level', 1n << 51n);
    const { byteLength } = kernel.snapshot().regions[0]!;
    const frames = new Map<number, Uint8Array>();
    for (let gfn = 0; gfn < byteLength / PAGE; gfn++) {
      const page = kernel.machine.memory.page(gfn);
      if (page !== undefined) frames.set(gfn, new Uint8Array(page.slice().buffer));
    }
    // CR3 has the bit as well.
    const cr3 = BigInt(roots[0]!) | (1n << 51n);
    return dumpFile(elfDump(frames, { notes: notesOf([{ cr0: 0x8000_0001n, cr3, cr4: 0x20n }]) }));
  }

  test.each(['bit51', 'bit 51', '0x8000000000000'])('%s', async (mask) => {
    const { code, stdout } = await run(['map', path(), '--encryption-mask', mask]);
    expect(stdout).toContain('1 range, ');
    expect(code).toBe(0);
  });

  test('auto, which is the default, does not know of a bit in CR3 alone; the other values are refused', async () => {
    const { code, stdout } = await run(['map', path(), '--root', '0x100000']);
    expect(stdout).toContain('1 range, ');
    expect(code).toBe(0);
    expect((await run(['map', path(), '--encryption-mask', '0x0', '--root', '0x100000'])).code).toBe(5);
    for (const wrong of ['bit52', 'bit31', '0x1', '51', 'bit'])
      expect((await run(['map', path(), '--encryption-mask', wrong])).code).toBe(2);
  });
});

test('roots of legacy 32-bit paging, whose entries have no bit to spare, have none', async () => {
  const builder = new SpaceBuilder('32-bit').map(0xc000_0000n, 320, 0n, PRESENT | WRITABLE);
  const found = await findRoots(builder.snapshot(), { modes: ['32-bit'], encryptionMask: 1n << 51n });
  expect(found.length).toBeGreaterThan(0);
  expect(found.every(({ encryptionMask }) => encryptionMask === undefined)).toBe(true);
});
