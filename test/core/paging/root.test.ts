import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { makePaging, rootOf } from '../../../src/core/paging/format.ts';
import { Machine, pointer } from './machine.ts';

const CR3_BIT_63 = 1n << 63n;
const LAM_U57 = 1n << 61n;
const LAM_U48 = 1n << 62n;

describe('T2 the root is bits 51:12 of CR3', () => {
  test.each(['4-level', '5-level'] as const)('%s: PCID, bit 63 and LAM bits are not part of it', (mode) => {
    const paging = makePaging({ mode });
    for (const noise of [
      0n,
      0xfffn,
      0x18n,
      CR3_BIT_63,
      LAM_U57,
      LAM_U48,
      CR3_BIT_63 | LAM_U57 | LAM_U48 | 0xfffn,
      0xfffn << 52n,
    ]) {
      expect(rootOf(paging, 0x1234_5000n | noise)).toBe(0x1234_5000);
      expect(rootOf(paging, 0xf_ffff_ffff_f000n | noise)).toBe(0xf_ffff_ffff_f000);
      expect(rootOf(paging, noise)).toBe(0);
    }
  });

  test('32-bit: bits 31:12', () => {
    const paging = makePaging({ mode: '32-bit' });
    expect(rootOf(paging, 0x1234_5678_9abc_dfffn)).toBe(0x9abc_d000);
    expect(rootOf(paging, 0x9abc_dfff)).toBe(0x9abc_d000);
    expect(rootOf(paging, 0xffff_f000)).toBe(0xffff_f000);
    expect(rootOf(paging, 0x1_0000_0000)).toBe(0);
  });

  test('PAE: bits 31:5', () => {
    const paging = makePaging({ mode: 'pae' });
    expect(rootOf(paging, 0x1234_5678_9abc_dfffn)).toBe(0x9abc_dfe0);
    expect(rootOf(paging, 0x9abc_dfff)).toBe(0x9abc_dfe0);
    expect(rootOf(paging, 0xffff_ffe0)).toBe(0xffff_ffe0);
    expect(rootOf(paging, 0x1_0000_0020)).toBe(0x20);
    expect(rootOf(paging, 0x1f)).toBe(0);
  });

  test('numbers and bigints are the same root, with and without the other bits', () => {
    for (const mode of ['4-level', '5-level', 'pae', '32-bit'] as const) {
      const paging = makePaging({ mode });
      for (const cr3 of [
        0,
        1,
        0x1f,
        0x20,
        0xfe0,
        0xfff,
        0x1000,
        0x1018,
        0xffff_f000,
        0x1_0000_0000,
        0x1_2345_6789,
        2 ** 52 - 4096,
        2 ** 53 - 1,
      ]) {
        expect(`${cr3}: ${rootOf(paging, cr3)}`).toBe(`${cr3}: ${rootOf(paging, BigInt(cr3))}`);
      }
    }
  });

  test('an encryption bit is not part of it', () => {
    const paging = makePaging({ mode: '4-level', encryptionMask: 1n << 47n });
    expect(rootOf(paging, (1n << 47n) | 0x5000n)).toBe(0x5000);
    expect(rootOf(paging, 2 ** 47 + 0x5000)).toBe(0x5000);
    expect(rootOf(paging, 0x5000)).toBe(0x5000);
    expect(rootOf(paging, (1n << 46n) | 0x5fffn)).toBe(2 ** 46 + 0x5000);
  });

  test.each([-1, -4096, 0.5, 4096.5, 2 ** 53, Number.NaN, Number.POSITIVE_INFINITY, -1n, 1n << 64n])(
    'refuses %s',
    (cr3) => {
      expect(() => rootOf(makePaging({ mode: '4-level' }), cr3)).toThrow(PtmonError);
      expect(() => rootOf(makePaging({ mode: '4-level' }), cr3)).toThrow(/^root .* is not an/);
    },
  );

  test('a walk answers with the root, not with CR3', () => {
    const machine = new Machine({ mode: '4-level' });
    const root = machine.chain(0x7000n, 1, 0x9027n);
    expect(machine.walk(root | CR3_BIT_63 | LAM_U48 | 0x123n, 0x7abcn)).toMatchObject({
      root: Number(root),
      pa: 0x9abc,
    });
  });
});

describe('T2 a PAE root is 32-byte aligned, anywhere in a page', () => {
  test.each([0x2000n, 0x2020n, 0x27e0n, 0x2fe0n, 0xffff_ffe0n])('root %i', (root) => {
    const machine = new Machine({ mode: 'pae' });
    for (let quarter = 0n; quarter < 4n; quarter++) {
      const directory = 0x10_0000n + quarter * 0x1000n;
      machine.put(root + quarter * 8n, directory | pointer('pae', 3));
      machine.put(directory, 0x4000_00e7n + (quarter << 21n));
    }
    for (let quarter = 0n; quarter < 4n; quarter++) {
      const answer = machine.walk(root | 0x18n, (quarter << 30n) | 0x12_3456n);
      expect(answer).toMatchObject({ root: Number(root), pa: 0x4012_3456 + Number(quarter) * 0x20_0000 });
      expect(answer.steps[0]).toMatchObject({
        table: 'PDPT',
        slot: Number(quarter),
        entryPa: Number(root + quarter * 8n),
      });
    }
  });
});
