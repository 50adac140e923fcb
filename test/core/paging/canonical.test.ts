import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { canonicalVpn, foldVpn, isCanonical, makePaging, slotOf, unfoldVpn } from '../../../src/core/paging/format.ts';
import type { PagingModeName } from '../../../src/core/paging/modes.ts';
import { hex, Machine, tableAt, DEPTH } from './machine.ts';

/** Mode, address, and whether the processor translates it. */
const EDGES: readonly (readonly [PagingModeName, bigint, boolean])[] = [
  ['4-level', 0n, true],
  ['4-level', 0x0000_7fff_ffff_ffffn, true],
  ['4-level', 0x0000_8000_0000_0000n, false],
  ['4-level', 0x1234_0000_0000_0000n, false],
  ['4-level', 0xffff_7fff_ffff_ffffn, false],
  ['4-level', 0xffff_8000_0000_0000n, true],
  ['4-level', 0xffff_ffff_ffff_ffffn, true],
  ['5-level', 0n, true],
  ['5-level', 0x0000_8000_0000_0000n, true],
  ['5-level', 0x00ff_ffff_ffff_ffffn, true],
  ['5-level', 0x0100_0000_0000_0000n, false],
  ['5-level', 0xfeff_ffff_ffff_ffffn, false],
  ['5-level', 0xff00_0000_0000_0000n, true],
  ['5-level', 0xffff_ffff_ffff_ffffn, true],
  ...(['pae', '32-bit'] as const).flatMap((mode) => [
    [mode, 0n, true] as const,
    [mode, 0xffff_ffffn, true] as const,
    [mode, 0x1_0000_0000n, false] as const,
    [mode, 0xffff_8000_0000_0000n, false] as const,
    [mode, 0xffff_ffff_ffff_ffffn, false] as const,
  ]),
];

describe('T3 canonical addresses', () => {
  test.each(EDGES.map(([mode, va, canonical]) => ({ mode, va: hex(va), canonical })))(
    '$mode $va: $canonical',
    ({ mode, va, canonical }) => {
      const paging = makePaging({ mode });
      const address = BigInt(va);
      expect(isCanonical(paging, Number(address >> 12n))).toBe(canonical);
      if (canonical) {
        expect(canonicalVpn(paging, address)).toBe(Number(address >> 12n));
        return;
      }
      const refusal = (() => {
        try {
          return canonicalVpn(paging, address);
        } catch (error) {
          return error;
        }
      })();
      expect(refusal).toBeInstanceOf(PtmonError);
      expect(refusal).toMatchObject({ code: 'non-canonical', facts: { va: address } });
      expect((refusal as PtmonError).message).toContain(va);
      expect((refusal as PtmonError).message).toContain(mode);
    },
  );

  test.each(EDGES.map(([mode, va, canonical]) => ({ mode, va: hex(va), canonical })))(
    'T8 a walk of $mode $va reads tables: $canonical',
    ({ mode, va, canonical }) => {
      const machine = new Machine({ mode });
      const root = tableAt(DEPTH[mode]);
      machine.memory.addPage(Number(root >> 12n));
      const answer = machine.walk(root, BigInt(va));
      if (canonical) expect(answer).toMatchObject({ reason: 'not-present', level: DEPTH[mode] });
      else expect(answer).toMatchObject({ translates: false, reason: 'non-canonical', level: null, steps: [] });
      expect(answer).toMatchObject({ root: Number(root), va: BigInt(va) });
    },
  );

  test('a number is taken where it is exact, and refused with its name where not', () => {
    const paging = makePaging({ mode: '4-level' });
    expect(canonicalVpn(paging, 0x7fff_ffff_ffff)).toBe(0x7_ffff_ffff);
    expect(() => canonicalVpn(paging, 2 ** 64)).toThrow(/^virtual address .* is not an exact unsigned integer/);
    expect(() => canonicalVpn(paging, -1n)).toThrow(/^virtual address -1 is not an unsigned 64-bit value/);
    const machine = new Machine({ mode: '4-level' });
    expect(() => machine.walk(0x1000n, 1n << 64n)).toThrow(/^virtual address .* is not an unsigned 64-bit value/);
  });
});

describe('T1 the slots of an address', () => {
  test.each([
    ['5-level', 0xffab_cdef_1234_5678n],
    ['5-level', 0x00ab_cdef_1234_5678n],
    ['4-level', 0xffff_cdef_1234_5678n],
    ['4-level', 0x0000_4def_1234_5678n],
    ['pae', 0xfedc_ba98n],
    ['32-bit', 0xfedc_ba98n],
    ['4-level', 0xffff_ffff_ffff_ffffn],
  ] as const)('%s %i', (mode, va) => {
    const bits = mode === '32-bit' ? 10n : 9n;
    const paging = makePaging({ mode });
    for (const format of paging.levels) {
      const mask = mode === 'pae' && format.level === 3 ? 3n : (1n << bits) - 1n;
      const expected = (va >> (12n + BigInt(format.level - 1) * bits)) & mask;
      expect(slotOf(format, Number(va >> 12n))).toBe(Number(expected));
    }
  });
});

describe('T3 page numbers without the hole', () => {
  test.each([
    ['4-level', 0, 0],
    ['4-level', 0x7_ffff_ffff, 0x7_ffff_ffff],
    ['4-level', 0xf_fff8_0000_0000, 0x8_0000_0000],
    ['4-level', 0xf_ffff_ffff_ffff, 0xf_ffff_ffff],
    ['5-level', 0xfff_ffff_ffff, 0xfff_ffff_ffff],
    ['5-level', 0xf_f000_0000_0000, 0x1000_0000_0000],
    ['5-level', 0xf_ffff_ffff_ffff, 0x1fff_ffff_ffff],
    ['pae', 0, 0],
    ['pae', 0xf_ffff, 0xf_ffff],
    ['32-bit', 0xf_ffff, 0xf_ffff],
  ] as const)('%s: page %i is page %i of those that translate', (mode, vpn, folded) => {
    const paging = makePaging({ mode });
    expect(foldVpn(paging, vpn)).toBe(folded);
    expect(unfoldVpn(paging, folded)).toBe(vpn);
    for (const format of paging.levels) expect(slotOf(format, folded)).toBe(slotOf(format, vpn));
  });
});
