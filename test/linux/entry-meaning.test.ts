/** Entries made as the kernel's own macros make them, and what is read of them. */
import { describe, expect, test } from 'vitest';
import { Btf } from '../../src/linux/btf/btf.ts';
import { type EntryMeaning, meaningOf } from '../../src/linux/entries/entry-meaning.ts';
import { longWords, shortWords } from '../../src/linux/entries/meaning-words.ts';
import { swapTypesOf } from '../../src/linux/entries/swap-types.ts';
import { BtfWriter } from './btf-writer.ts';

/** __swp_entry: the type above, the offset inverted between. */
function swapEntry(type: number, offset: bigint, low = 0n): bigint {
  return (BigInt(type) << 59n) | ((BigInt.asUintN(64, ~offset << 14n) >> 5n) & ~0x1ffn) | low;
}

/** A kernel with these functions; pages that are only one's own since 5.19. */
function typesWith(functions: readonly string[], isNew = true) {
  const writer = new BtfWriter();
  writer.enumeration('pageflags', isNew ? { PG_anon_exclusive: 3 } : { PG_locked: 0 });
  if (isNew) writer.typedef('pte_marker', writer.int('unsigned long', 8));
  for (const name of functions) writer.function(name);
  return swapTypesOf(new Btf(writer.bytes()));
}

const ALL = typesWith(['memory_failure', 'migrate_pages', 'make_device_exclusive_range']);

describe('the numbers of special entries, as kernels were built', () => {
  // include/linux/swap.h: the highest of 32, the first of them first.
  test.each<[name: string, types: ReadonlyMap<number, string>, expected: Record<number, string>]>([
    ['nothing but swap', typesWith([], false), {}],
    ['6.1 of the cloud', typesWith(['migrate_pages']), { 28: 'migrating', 30: 'migrating', 31: 'marker' }],
    ['everything', ALL, { 23: 'poisoned', 24: 'migrating', 26: 'migrating', 27: 'device', 30: 'device', 31: 'marker' }],
    [
      '6.15',
      typesWith(['memory_failure', 'migrate_pages', 'make_device_exclusive']),
      { 24: 'poisoned', 27: 'migrating', 28: 'device', 31: 'marker' },
    ],
    [
      '5.10',
      typesWith(['memory_failure', 'migrate_pages'], false),
      { 29: 'poisoned', 30: 'migrating', 31: 'migrating' },
    ],
  ])('%s', (_name, types, expected) => {
    for (const [type, what] of Object.entries(expected)) expect(types.get(Number(type))).toBe(what);
    expect([...types.keys()].every((type) => type >= 23)).toBe(true);
  });
});

describe('what an entry means', () => {
  test.each<[what: string, value: bigint, level: number, expected: EntryMeaning | undefined, words: string]>([
    ['present', 0x1234_5067n, 1, undefined, ''],
    ['never mapped', 0n, 1, { kind: 'empty' }, 'nothing was ever mapped'],
    ['swapped out', swapEntry(3, 4711n), 1, { kind: 'swapped', device: 3, slot: 4711 }, 'device 3, slot 4711'],
    [
      'swapped out, soft-dirty and its own',
      swapEntry(0, 0n, 0xan),
      1,
      { kind: 'swapped', device: 0, slot: 0 },
      'slot 0',
    ],
    [
      'the last slot there can be',
      swapEntry(22, (1n << 50n) - 1n),
      1,
      { kind: 'swapped', device: 22, slot: 2 ** 50 - 1 },
      '',
    ],
    [
      'PROT_NONE',
      0xf_ffff_ed_cba0_0120n,
      1,
      { kind: 'inaccessible', pa: Number(~0xf_ffff_ed_cba0_0000n & 0xf_ffff_ffff_f000n) },
      'no access',
    ],
    ['on its way', swapEntry(25, 0x1234n), 1, { kind: 'migrating', pa: 0x123_4000 }, '0x1234000 is being moved'],
    [
      'on its way, accessed and dirty',
      swapEntry(24, 0x1234n | (3n << 40n)),
      1,
      { kind: 'migrating', pa: 0x123_4000 },
      'moved',
    ],
    ['a large page on its way', swapEntry(26, 0x200n), 2, { kind: 'migrating', pa: 0x20_0000 }, 'moved'],
    ['poisoned', swapEntry(23, 0x55n), 1, { kind: 'poisoned', pa: 0x5_5000 }, 'broken'],
    ['of a device', swapEntry(28, 1n), 1, { kind: 'device' }, 'device'],
    ['a mark', swapEntry(31, 5n), 1, { kind: 'marker', marks: ['userfaultfd write protection', 'guard'] }, 'guard'],
    [
      'a large page that is split',
      (~0x40_0000n & 0xf_ffff_ffff_f000n) | 0x86n,
      2,
      { kind: 'changing', pa: 0x40_0000 },
      'changed',
    ],
  ])('%s', (_what, value, level, expected, words) => {
    const meaning = meaningOf(ALL, value, level);
    expect(meaning).toEqual(expected);
    if (meaning === undefined) return;
    expect(longWords(meaning)).toContain(words);
    expect(shortWords(meaning)).not.toBe('');
  });

  test('a page without access: why is known where the area is', () => {
    const meaning: EntryMeaning = { kind: 'inaccessible', pa: 0x1000 };
    expect([undefined, true, false].map((isAccessible) => shortWords(meaning, { isAccessible }))).toEqual([
      'no access',
      'NUMA hint',
      'PROT_NONE',
    ]);
  });

  test('whatever 64 bits there are', () => {
    for (let bit = 0n; bit < 64n; bit++) {
      for (const value of [1n << bit, BigInt.asUintN(64, ~(1n << bit)), (1n << bit) - 1n]) {
        for (const level of [1, 2, 3]) meaningOf(ALL, value, level);
      }
    }
  });
});
