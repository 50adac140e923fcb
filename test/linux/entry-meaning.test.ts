/** Entries made as the kernel's own macros make them, and what is read of them. */
import { describe, expect, test } from 'vitest';
import { Btf } from '../../src/linux/btf/btf.ts';
import { makePaging } from '../../src/core/paging/format.ts';
import { type EntryFormat, type EntryMeaning, meaningOf } from '../../src/linux/entries/entry-meaning.ts';
import { longWords, shortWords } from '../../src/linux/entries/meaning-words.ts';
import { swapTypesOf } from '../../src/linux/entries/swap-types.ts';
import { BtfWriter } from './btf-writer.ts';

/** __swp_entry: the type above, the offset inverted between. */
function swapEntry(type: number, offset: bigint, low = 0n): bigint {
  return (BigInt(type) << 59n) | ((BigInt.asUintN(64, ~offset << 14n) >> 5n) & ~0x1ffn) | low;
}

const PFN_MASK = 0xf_ffff_ffff_f000n;
/** Address bits of a large page of so many bytes: PHYSICAL_PMD_PAGE_MASK and PHYSICAL_PUD_PAGE_MASK. */
const pageMask = (byteLength: number) => PFN_MASK & ~BigInt(byteLength - 1);
const M2 = 0x20_0000;
const G1 = 0x4000_0000;

/** flip_protnone_guard, as pmd_modify calls it with its mask and pte_modify (so also hugetlb) with that of a small page. */
const inverted = (pa: bigint, flags: bigint, mask: bigint) => (~pa & mask) | flags;
/** _PAGE_PROTNONE, _PAGE_PSE, and what a page of a process has beside them. */
const NONE = 0x100n;
const PSE = 0x80n;
const FLAGS = 0x60n;

/** __swp_entry of 2-level paging. */
function legacySwapEntry(type: number, offset: bigint): bigint {
  return (BigInt(type) << 1n) | (offset << 9n);
}

/** A kernel with these functions; pages that are only one's own since 5.19. */
function typesWith(functions: readonly string[], isNew = true, devices?: number) {
  const writer = new BtfWriter();
  const device = writer.pointer(writer.structure('swap_info_struct', 8, []));
  // The declaration, whose length is not known, and the definition.
  for (const length of devices === undefined ? [] : [0, devices]) writer.array(device, length);
  writer.enumeration('pageflags', isNew ? { PG_anon_exclusive: 3 } : { PG_locked: 0 });
  if (isNew) writer.typedef('pte_marker', writer.int('unsigned long', 8));
  for (const name of functions) writer.function(name);
  return swapTypesOf(new Btf(writer.bytes()));
}

const ALL = typesWith(['memory_failure', 'migrate_pages', 'make_device_exclusive_range']);

const LONG: EntryFormat = { types: ALL, paging: makePaging({ mode: '4-level' }) };
const LA57: EntryFormat = { types: ALL, paging: makePaging({ mode: '5-level' }) };
const PAE: EntryFormat = { types: ALL, paging: makePaging({ mode: 'pae' }) };
const LEGACY: EntryFormat = { types: ALL, paging: makePaging({ mode: '32-bit' }) };

describe('the numbers of special entries, as kernels were built', () => {
  // include/linux/swap.h: the highest of 32, the first of them first.
  test.each<[name: string, types: ReadonlyMap<number, string>, expected: Record<number, string>]>([
    ['nothing but swap', typesWith([], false), {}],
    [
      '6.1 of the cloud',
      typesWith(['migrate_pages'], true, 27),
      { 27: 'migrating', 29: 'migrating', 30: 'marker', 31: 'lost' },
    ],
    [
      '6.12 of the cloud',
      typesWith(['memory_failure', 'migrate_pages'], true, 27),
      { 27: 'poisoned', 28: 'migrating', 31: 'marker' },
    ],
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
      swapEntry(24, 0x1234n | (3n << 34n)),
      1,
      { kind: 'migrating', pa: 0x123_4000 },
      'moved',
    ],
    ['a large page on its way', swapEntry(26, 0x200n), 2, { kind: 'migrating', pa: 0x20_0000 }, 'moved'],
    ['poisoned', swapEntry(23, 0x55n), 1, { kind: 'poisoned', pa: 0x5_5000 }, 'broken'],
    ['of a device', swapEntry(28, 1n), 1, { kind: 'device' }, 'device'],
    ['a mark', swapEntry(31, 5n), 1, { kind: 'marker', marks: ['userfaultfd write protection', 'guard'] }, 'guard'],
  ])('%s', (_what, value, level, expected, words) => {
    const meaning = meaningOf(LONG, value, level);
    expect(meaning).toEqual(expected);
    if (meaning === undefined) return;
    expect(longWords(meaning)).toContain(words);
    expect(shortWords(meaning)).not.toBe('');
  });

  test.each<[what: string, format: EntryFormat, value: bigint, level: number, expected: EntryMeaning]>([
    [
      'PROT_NONE, 4 KiB',
      LONG,
      inverted(0x123_4000n, NONE | FLAGS, PFN_MASK),
      1,
      { kind: 'inaccessible', pa: 0x123_4000 },
    ],
    [
      'PROT_NONE, 2 MiB',
      LONG,
      inverted(0x820_0000n, NONE | PSE | FLAGS, pageMask(M2)),
      2,
      { kind: 'inaccessible', pa: 0x820_0000 },
    ],
    [
      'PROT_NONE, 2 MiB with PAT',
      LONG,
      inverted(0x820_0000n, NONE | PSE | FLAGS | 0x1000n, pageMask(M2)),
      2,
      { kind: 'inaccessible', pa: 0x820_0000 },
    ],
    [
      'PROT_NONE, 1 GiB',
      LONG,
      inverted(0xc000_0000n, NONE | PSE | FLAGS, pageMask(G1)),
      3,
      { kind: 'inaccessible', pa: 0xc000_0000 },
    ],
    [
      'PROT_NONE, 2 MiB of hugetlb',
      LONG,
      inverted(0x820_0000n, NONE | PSE | FLAGS, PFN_MASK),
      2,
      { kind: 'inaccessible', pa: 0x820_0000 },
    ],
    [
      'PROT_NONE, 1 GiB of hugetlb',
      LONG,
      inverted(0xc000_0000n, NONE | PSE | FLAGS, PFN_MASK),
      3,
      { kind: 'inaccessible', pa: 0xc000_0000 },
    ],
    [
      'being changed, 2 MiB',
      LONG,
      inverted(0x40_0000n, PSE | 0x6n, pageMask(M2)),
      2,
      { kind: 'changing', pa: 0x40_0000 },
    ],
    [
      'being changed, 1 GiB',
      LONG,
      inverted(0x4000_0000n, PSE | 0x6n, pageMask(G1)),
      3,
      { kind: 'changing', pa: 0x4000_0000 },
    ],
    [
      'PROT_NONE, 4 KiB, PAE',
      PAE,
      inverted(0x123_4000n, NONE | FLAGS, PFN_MASK),
      1,
      { kind: 'inaccessible', pa: 0x123_4000 },
    ],
    [
      'PROT_NONE, 2 MiB, PAE',
      PAE,
      inverted(0x820_0000n, NONE | PSE, pageMask(M2)),
      2,
      { kind: 'inaccessible', pa: 0x820_0000 },
    ],
    ['swapped, PAE', PAE, swapEntry(1, 77n), 1, { kind: 'swapped', device: 1, slot: 77 }],
    ['PROT_NONE, 4 KiB, legacy', LEGACY, 0x123_4160n, 1, { kind: 'inaccessible', pa: 0x123_4000 }],
    ['PROT_NONE, 4 MiB, legacy', LEGACY, 0x840_01e0n, 2, { kind: 'inaccessible', pa: 0x840_0000 }],
    ['swapped, legacy', LEGACY, legacySwapEntry(3, 0x7f_ffffn), 1, { kind: 'swapped', device: 3, slot: 0x7f_ffff }],
    ['on its way, legacy', LEGACY, legacySwapEntry(25, 0x1234n), 1, { kind: 'migrating', pa: 0x123_4000 }],
  ])('%s', (_what, format, value, level, expected) => {
    expect(meaningOf(format, value, level)).toEqual(expected);
  });

  test('accessed and dirty are above the frame: bits 41:40 of the offset with 5 levels, 35:34 with 4', () => {
    const entry = swapEntry(24, 0x1234n | (3n << 40n));
    expect(meaningOf(LA57, entry, 1)).toEqual({ kind: 'migrating', pa: 0x123_4000 });
  });

  test('the encryption bit is no part of an address', () => {
    const paging = makePaging({ mode: '4-level', encryptionMask: 1n << 47n });
    const value = inverted(0x123_4000n, NONE, PFN_MASK & ~(1n << 47n)) | (1n << 47n);
    expect(meaningOf({ types: ALL, paging }, value, 1)).toEqual({ kind: 'inaccessible', pa: 0x123_4000 });
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
        for (const level of [1, 2, 3]) meaningOf(LONG, value, level);
      }
    }
  });
});
