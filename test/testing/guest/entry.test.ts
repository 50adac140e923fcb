import { describe, expect, test } from 'vitest';
import { ENTRY_ABSENT, kindOf, leafGfn, makePaging, tableGfn } from '../../../src/core/paging/format.ts';
import { EntryCodec, isProtNone, tableFlags } from '../../../src/testing/guest/tables/entry.ts';

const C_BIT = 1n << 47n;
const MACHINES = [
  ['4-level', makePaging({ mode: '4-level' }), [1, 0x12345, 0x100777, 2 ** 34 + 5]],
  ['4-level, encrypted', makePaging({ mode: '4-level', encryptionMask: C_BIT }), [1, 0x12345, 0x100777]],
  ['pae', makePaging({ mode: 'pae' }), [1, 0x12345, 0x100777]],
  ['32-bit', makePaging({ mode: '32-bit' }), [1, 0x12345, 0xfffff]],
] as const;

describe.each(MACHINES)('entries in %s', (_, paging, frames) => {
  const codec = new EntryCodec(paging);
  const wide = paging.mode.entryBytes === 8;
  const pt = paging.byLevel[1]!;

  test.each(frames)('an address is where the processor looks for it, and comes back: frame %d', (gfn) => {
    const lo = codec.addressLo(gfn) | 0x67;
    const hi = codec.addressHi(gfn);
    expect(leafGfn(pt, lo, hi)).toBe(gfn);
    expect(tableGfn(paging.byLevel[2]!, lo, hi)).toBe(gfn);
    expect(codec.gfnOf(lo, hi)).toBe(gfn);
    if (paging.encryptionMask !== 0n) expect((BigInt(hi) << 32n) & C_BIT).toBe(C_BIT);
  });

  test.each(frames)('a page that nobody may touch is absent, and remembers frame %d and its flags', (gfn) => {
    const lo = codec.addressLo(gfn) | 0x67;
    const hi = codec.addressHi(gfn) | (wide ? 0x80000000 : 0);
    const [noneLo, noneHi] = [codec.protNoneLo(lo), codec.protNoneHi(hi)];
    expect(kindOf(pt, noneLo, noneHi)).toBe(ENTRY_ABSENT);
    expect(isProtNone(noneLo)).toBe(true);
    expect(codec.isSwap(noneLo, noneHi)).toBe(false);
    expect(codec.gfnOf(noneLo, noneHi)).toBe(gfn);
    expect(noneLo & 0x60).toBe(0x60);
    if (wide) expect(noneHi >>> 31).toBe(1);
  });

  test.each([
    [1, 1],
    [1, 0x1ffff],
    [31, 0x100777],
  ])('a page in swap (type %d, offset %d) is absent, and says where', (type, offset) => {
    const [lo, hi] = [codec.swapLo(type, offset), codec.swapHi(type, offset)];
    expect(kindOf(pt, lo, hi)).toBe(ENTRY_ABSENT);
    expect(codec.isSwap(lo, hi)).toBe(true);
    expect(isProtNone(lo)).toBe(false);
    expect(codec.swapOffset(lo)).toBe(offset);
    // L1TF: as an address it is beyond all memory.
    if (wide) expect((hi & 0xffff0) >>> 4).toBe(0xffff);
  });

  test('nothing is not in swap', () => {
    expect(codec.isSwap(0, 0)).toBe(false);
  });
});

test('an entry that points at a table allows everything; a PAE root’s has no rights to give', () => {
  const flags = (mode: '4-level' | 'pae', level: number, user: boolean) =>
    tableFlags(makePaging({ mode }).byLevel[level]!, user).toString(16);
  expect([flags('4-level', 4, true), flags('4-level', 2, false), flags('pae', 3, true), flags('pae', 2, true)]).toEqual(
    ['67', '63', '1', '67'],
  );
});
