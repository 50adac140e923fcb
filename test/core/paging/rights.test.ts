import { describe, expect, test } from 'vitest';
import { restrict, restrictLeaf, RIGHTS_ALL, rightsOf } from '../../../src/core/paging/rights.ts';
import { DEPTH, Machine, MODES, pointer } from './machine.ts';

const va = 0x1234_5678n;
const WRITABLE = 2n;
const USER = 4n;
const XD = 1n << 63n;

/** Levels of a mode whose entries have rights: all but PAE's PDPTEs. */
const levelsOf = (mode: (typeof MODES)[number]): number[] =>
  Array.from({ length: mode === 'pae' ? 2 : DEPTH[mode] }, (_, index) => index + 1);

/** Walks with every entry writable and user, except for `change` in the entry of one level. */
function rightsWith(
  mode: (typeof MODES)[number],
  leafLevel: number,
  {
    level = leafLevel,
    change = 0n,
    noExecuteEnable = true,
  }: { level?: number; change?: bigint; noExecuteEnable?: boolean },
) {
  const machine = new Machine({ mode, noExecuteEnable });
  const leaf = (leafLevel === 1 ? 0x27n : 0xa7n) ^ (level === leafLevel ? change : 0n);
  const root = machine.chain(va, leafLevel, leaf, level > leafLevel ? { [level]: pointer(mode, level) ^ change } : {});
  return machine.walk(root, va);
}

describe.each(MODES)('T7 effective rights in %s paging', (mode) => {
  const leafLevels = mode === '32-bit' || mode === 'pae' ? [1, 2] : [1, 2, 3];

  test('all of them where no entry restricts', () => {
    for (const leaf of leafLevels) {
      expect(rightsWith(mode, leaf, {})).toMatchObject({
        rights: { writable: true, user: true, noExecute: false, protectionKey: 0 },
      });
    }
  });

  test('one entry of any level takes a right away', () => {
    for (const leaf of leafLevels) {
      for (const level of levelsOf(mode).filter((candidate) => candidate >= leaf)) {
        expect(rightsWith(mode, leaf, { level, change: WRITABLE })).toMatchObject({
          rights: { writable: false, user: true, noExecute: false },
        });
        expect(rightsWith(mode, leaf, { level, change: USER })).toMatchObject({
          rights: { writable: true, user: false, noExecute: false },
        });
        if (mode === '32-bit') continue;
        expect(rightsWith(mode, leaf, { level, change: XD })).toMatchObject({
          rights: { writable: true, user: true, noExecute: true },
        });
      }
    }
  });

  test('every entry restricts: nothing is left', () => {
    const machine = new Machine({ mode });
    const none = mode === '32-bit' ? 1n : 1n | XD;
    const upper = Object.fromEntries(levelsOf(mode).map((level) => [level, none]));
    expect(machine.walk(machine.chain(va, 1, none, upper), va)).toMatchObject({
      rights: { writable: false, user: false, noExecute: mode !== '32-bit', protectionKey: 0 },
    });
  });

  if (mode === '32-bit') return;
  test('EFER.NXE = 0: XD is reserved at every level, and nothing is no-execute', () => {
    for (const level of levelsOf(mode)) {
      expect(rightsWith(mode, 1, { level, change: XD, noExecuteEnable: false })).toMatchObject({
        translates: false,
        reason: 'reserved-bit',
        level,
      });
      expect(rightsWith(mode, 1, { level, noExecuteEnable: false })).toMatchObject({ rights: { noExecute: false } });
    }
  });
});

describe('T7 protection keys', () => {
  test.each(['4-level', '5-level'] as const)('%s: bits 62:59 of the leaf, whatever its size', (mode) => {
    for (const leafLevel of [1, 2, 3]) {
      for (let key = 0n; key < 16n; key++) {
        expect(rightsWith(mode, leafLevel, { change: key << 59n })).toMatchObject({
          rights: { writable: true, user: true, noExecute: false, protectionKey: Number(key) },
        });
        expect(rightsWith(mode, leafLevel, { change: (key << 59n) | XD | WRITABLE | USER })).toMatchObject({
          rights: { writable: false, user: false, noExecute: true, protectionKey: Number(key) },
        });
      }
    }
  });

  test.each(['4-level', '5-level'] as const)('%s: the same bits of a pointer are ignored', (mode) => {
    for (const level of [2, 3, 4]) {
      expect(rightsWith(mode, 1, { level, change: 15n << 59n })).toMatchObject({
        translates: true,
        rights: { protectionKey: 0 },
      });
    }
  });
});

describe('T7 rights as a number', () => {
  const [table, leaf] = [
    new Machine({ mode: '4-level' }).paging.byLevel[2]!,
    new Machine({ mode: '4-level' }).paging.byLevel[1]!,
  ];

  test('once lost, a right does not come back', () => {
    const afterTable = restrict(RIGHTS_ALL, table, 0x1, 0x8000_0000);
    expect(rightsOf(afterTable)).toEqual({ writable: false, user: false, noExecute: true, protectionKey: 0 });
    expect(rightsOf(restrict(afterTable, table, 0xffff_ffff, 0x7fff_ffff))).toEqual(rightsOf(afterTable));
    expect(rightsOf(restrictLeaf(afterTable, leaf, 0xffff_ffff, 0x7fff_ffff))).toEqual({
      ...rightsOf(afterTable),
      protectionKey: 15,
    });
  });

  test('bit 0 writable, bit 1 user, bit 2 no-execute, bits 7:4 the key', () => {
    expect(RIGHTS_ALL).toBe(3);
    expect(restrictLeaf(RIGHTS_ALL, leaf, 0x3, 0)).toBe(1);
    expect(restrictLeaf(RIGHTS_ALL, leaf, 0x5, 0)).toBe(2);
    expect(restrictLeaf(RIGHTS_ALL, leaf, 0x1, 0x8000_0000)).toBe(4);
    expect(restrictLeaf(RIGHTS_ALL, leaf, 0x7, 0xffff_ffff)).toBe(0xf7);
  });
});
