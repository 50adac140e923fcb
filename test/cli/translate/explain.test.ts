import { describe, expect, test } from 'vitest';
import { makePaging, type Paging, type PagingOptions } from '../../../src/core/paging/format.ts';
import type { WalkStep } from '../../../src/core/paging/walk.ts';
import { type EntryExplanation, explainEntry, rightsNames } from '../../../src/cli/commands/translate/explain.ts';

/** An entry as a walk would have read it. */
function explain(paging: Paging, level: number, value: bigint) {
  const step = { level, table: paging.byLevel[level]!.name, slot: 0, entryPa: 0x1000, value } as WalkStep;
  return explainEntry(paging, step);
}

const bit = (...bits: readonly number[]) => bits.reduce((value, each) => value | (1n << BigInt(each)), 0n);

describe('the flags of each kind of entry (SDM vol. 3A, tables 4-4 to 4-20)', () => {
  const POINTER = '0 present/1 writable/2 user/3 write-through (PWT)/4 cache disabled (PCD)/5 accessed';
  const LEAF = `${POINTER}/6 dirty/8 global`;
  const XD = '63 no-execute';
  test.each([
    ['5-level', 5, 0n, `${POINTER}/${XD}`],
    ['4-level', 4, 0n, `${POINTER}/${XD}`],
    ['4-level', 3, 0n, `${POINTER}/${XD}`],
    ['4-level', 3, bit(7), `${LEAF}/7 large page/12 PAT/${XD}`],
    ['4-level', 2, 0n, `${POINTER}/${XD}`],
    ['4-level', 2, bit(7), `${LEAF}/7 large page/12 PAT/${XD}`],
    ['4-level', 1, 0n, `${LEAF}/7 PAT/${XD}`],
    ['pae', 3, 0n, '0 present/3 write-through (PWT)/4 cache disabled (PCD)/5 accessed'],
    ['pae', 2, 0n, `${POINTER}/${XD}`],
    ['pae', 2, bit(7), `${LEAF}/7 large page/12 PAT/${XD}`],
    ['pae', 1, 0n, `${LEAF}/7 PAT/${XD}`],
    ['32-bit', 2, 0n, POINTER],
    ['32-bit', 2, bit(7), `${LEAF}/7 large page/12 PAT`],
    ['32-bit', 1, 0n, `${LEAF}/7 PAT`],
  ] as const)('%s, level %i, %s', (mode, level, shape, words) => {
    const paging = makePaging({ mode });
    const rights = ['read-only', 'supervisor'];
    const said = words.split('/').map((word) => {
      const [, number = '', flag = ''] = /^(\d+) (.*)$/.exec(word) ?? [];
      const { flags } = explain(paging, level, shape | bit(0, Number(number)));
      return flags.includes(flag) ? word : `${number} ${flags.join(', ')}`;
    });
    expect(said.join('/')).toBe(words);
    // Nothing but these words is said of any bit, once the rights and the key are left out.
    const all = words.split('/').map((word) => word.replace(/^\d+ /, ''));
    for (let at = 1; at < (mode === '32-bit' ? 32 : 59); at++) {
      if (at === 7) continue;
      for (const flag of explain(paging, level, shape | bit(0, at)).flags) expect([...all, ...rights]).toContain(flag);
    }
  });

  test.each([
    [1, 'no rights set', bit(0), ['present', 'read-only', 'supervisor']],
    [1, 'a key', bit(0, 1, 2) | (5n << 59n), ['present', 'writable', 'user', 'protection key 5']],
    [
      2,
      'a key of a large page',
      bit(0, 7) | (15n << 59n),
      ['present', 'read-only', 'supervisor', 'large page', 'protection key 15'],
    ],
    [2, 'no key in a pointer', bit(0) | (5n << 59n), ['present', 'read-only', 'supervisor']],
    [1, 'absent', bit(1, 5, 63), ['not present']],
  ] as const)('level %i: %s', (level, _what, value, flags) => {
    expect(explain(makePaging({ mode: '4-level' }), level, value).flags).toEqual(flags);
  });
});

describe('reserved bits, and where an entry leads', () => {
  test.each<[PagingOptions, number, bigint, readonly number[], object | null]>([
    [{ mode: '4-level' }, 4, bit(0, 7) | 0x2000n, [7], null],
    [{ mode: '5-level' }, 5, bit(0, 7), [7], null],
    [{ mode: '4-level' }, 3, bit(0, 7, 29, 13), [13, 29], null],
    [{ mode: '4-level' }, 2, bit(0, 7, 20, 13), [13, 20], null],
    [{ mode: '4-level', physicalAddressBits: 40 }, 1, bit(0, 39, 40, 51), [40, 51], null],
    [{ mode: '4-level', noExecuteEnable: false }, 1, bit(0, 63), [63], null],
    [{ mode: 'pae' }, 3, bit(0, 1, 2, 5, 63), [63], null],
    [{ mode: 'pae' }, 1, bit(0, 52, 62), [52, 62], null],
    [{ mode: '32-bit' }, 2, bit(0, 7, 21), [21], null],
    [{ mode: '4-level' }, 4, 0x2027n, [], { kind: 'table', name: 'PDPT', pa: 0x2000 }],
    [{ mode: '4-level' }, 2, 0x2027n, [], { kind: 'table', name: 'PT', pa: 0x2000 }],
    [{ mode: '4-level' }, 1, 0xf_ffff_ffff_f001n, [], { kind: 'page', pa: 0xf_ffff_ffff_f000, byteLength: 4096 }],
    // Bit 12 of a large page is PAT.
    [{ mode: '4-level' }, 2, 0x4020_1081n, [], { kind: 'page', pa: 0x4020_0000, byteLength: 2 ** 21 }],
    [{ mode: '4-level' }, 3, 0x1_4000_0081n, [], { kind: 'page', pa: 0x1_4000_0000, byteLength: 2 ** 30 }],
    // Bits 20:13 are address bits 39:32 (PSE-36), bit 12 is PAT.
    [{ mode: '32-bit' }, 2, 0x0080_7081n, [], { kind: 'page', pa: 0x3_0080_0000, byteLength: 2 ** 22 }],
    // Without CR4.PSE, bit 7 is nothing.
    [{ mode: '32-bit', pageSizeExtensions: false }, 2, 0x2081n, [], { kind: 'table', name: 'PT', pa: 0x2000 }],
    [
      { mode: '4-level', encryptionMask: 1n << 47n },
      1,
      bit(0, 47) | 0x5000n,
      [],
      { kind: 'page', pa: 0x5000, byteLength: 4096 },
    ],
    [{ mode: '4-level' }, 1, 0x5000n, [], null],
  ])('$0.mode $0.physicalAddressBits, level $1, $2', (options, level, value, reservedBits, target) => {
    const said = explain(makePaging(options), level, value);
    expect(said.reservedBits).toEqual(reservedBits);
    expect(said.target).toEqual(target);
  });
});

describe('every bit that is set is spoken of', () => {
  /** A small generator of its own: the same values each time. */
  function* values(seed: number): Generator<bigint> {
    for (let state = BigInt(seed); ; ) {
      state = BigInt.asUintN(64, state * 6364136223846793005n + 1442695040888963407n);
      yield state ^ (state >> 29n);
    }
  }

  test.each([
    { mode: '5-level' },
    { mode: '4-level', physicalAddressBits: 40, noExecuteEnable: false },
    { mode: '4-level', physicalAddressBits: 48, encryptionMask: 1n << 47n },
    { mode: 'pae', physicalAddressBits: 36 },
    { mode: '32-bit' },
    { mode: '32-bit', physicalAddressBits: 36, pageSizeExtensions: false },
  ] as const satisfies readonly PagingOptions[])('$mode $physicalAddressBits', (options) => {
    const paging = makePaging(options);
    const width = paging.mode.entryBytes * 8;
    const numbers = values(width);
    const ignored = new Set<string>();
    const heard = ({ flags, reservedBits, target }: EntryExplanation) => JSON.stringify([flags, reservedBits, target]);
    for (let round = 0; round < 20; round++) {
      const random = BigInt.asUintN(width, numbers.next().value! | 1n);
      for (const { level } of paging.levels) {
        // Of an entry with reserved bits no target is told, so that its address bits would change nothing.
        const value = random & ~bit(...explain(paging, level, random).reservedBits);
        const before = explain(paging, level, value);
        for (let at = 1; at < width; at++) {
          // The page-size bit changes what all the others mean.
          if (at === 7) continue;
          const after = explain(paging, level, value ^ bit(at));
          const isIgnored = before.ignoredBits.includes(at) !== after.ignoredBits.includes(at);
          if (isIgnored) ignored.add(`${level}:${at}`);
          expect([round, level, at, isIgnored]).toEqual([round, level, at, heard(before) === heard(after)]);
        }
      }
    }
    expect(ignored).toContain('1:9');
  });
});

test.each([
  [{ writable: true, user: true, noExecute: false, protectionKey: 0 }, 'writable, user, executable'],
  [
    { writable: false, user: false, noExecute: true, protectionKey: 3 },
    'read-only, supervisor, no-execute, protection key 3',
  ],
])('rights in words: %j', (rights, words) => {
  expect(rightsNames(rights).join(', ')).toBe(words);
});
