import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { makePaging, type PagingOptions } from '../../../src/core/paging/format.ts';
import { PAGING_MODES } from '../../../src/core/paging/modes.ts';
import { DEPTH, MODES } from './machine.ts';

describe('T1 modes are data', () => {
  test('the tables of each mode, root first', () => {
    const shape = Object.fromEntries(
      MODES.map((mode) => [
        mode,
        makePaging({ mode }).levels.map(({ name, level, slots, slotPages }) => `${name}${level} ${slots}x${slotPages}`),
      ]),
    );
    expect(shape).toEqual({
      '5-level': ['PML55 512x68719476736', 'PML44 512x134217728', 'PDPT3 512x262144', 'PD2 512x512', 'PT1 512x1'],
      '4-level': ['PML44 512x134217728', 'PDPT3 512x262144', 'PD2 512x512', 'PT1 512x1'],
      pae: ['PDPT3 4x262144', 'PD2 512x512', 'PT1 512x1'],
      '32-bit': ['PD2 1024x1024', 'PT1 1024x1'],
    });
  });

  test.each(MODES)('%s: found by its name, and by level number', (name) => {
    expect(PAGING_MODES[name].name).toBe(name);
    const paging = makePaging({ mode: name });
    expect(paging.mode).toBe(PAGING_MODES[name]);
    for (let level = 1; level <= DEPTH[name]; level++) expect(paging.byLevel[level]!.level).toBe(level);
    expect(paging.byLevel).toHaveLength(DEPTH[name] + 1);
  });

  test.each([
    ['5-level', 2 ** 44, 2 ** 52 - 2 ** 44],
    ['4-level', 2 ** 35, 2 ** 52 - 2 ** 35],
    ['pae', 2 ** 20, 2 ** 52],
    ['32-bit', 2 ** 20, 2 ** 52],
  ] as const)('%s: the lower half ends at page %i, the upper begins at %i', (mode, lowEnd, highStart) => {
    expect(makePaging({ mode })).toMatchObject({ lowEnd, highStart });
  });
});

describe('T6 options', () => {
  test('what is not told: 52 address bits, no encryption', () => {
    expect(makePaging({ mode: '4-level' })).toMatchObject({ physicalAddressBits: 52, encryptionMask: 0n });
  });

  test('what is told is kept', () => {
    const paging = makePaging({ mode: '4-level', physicalAddressBits: 46, encryptionMask: 1n << 47n });
    expect(paging).toMatchObject({ physicalAddressBits: 46, encryptionMask: 1n << 47n });
  });

  test.each<[string, Record<string, unknown>, RegExp]>([
    ['a mode that is none', { mode: '3-level' }, /^paging mode "3-level" is not one of 5-level, 4-level, pae, 32-bit$/],
    ['no mode', {}, /^paging mode "undefined"/],
    ['a name that every object has', { mode: 'toString' }, /^paging mode "toString"/],
    ['31 address bits', { mode: 'pae', physicalAddressBits: 31 }, /^physical address bits 31 is not .* 32 to 52$/],
    ['53 address bits', { mode: 'pae', physicalAddressBits: 53 }, /^physical address bits 53/],
    ['half an address bit', { mode: 'pae', physicalAddressBits: 40.5 }, /^physical address bits 40.5/],
    [
      'a mask below bit 32',
      { mode: 'pae', encryptionMask: 1n << 31n },
      /^encryption mask 0x80000000 is not within bits 51:32$/,
    ],
    ['a mask above bit 51', { mode: 'pae', encryptionMask: 1n << 52n }, /^encryption mask 0x10000000000000 is not/],
    [
      'a mask that is no word',
      { mode: 'pae', encryptionMask: 1n << 64n },
      /^encryption mask 18446744073709551616 is not/,
    ],
  ])('refuses %s', (_, options, message) => {
    const attempt = () => makePaging(options as unknown as PagingOptions);
    expect(attempt).toThrow(message);
    expect(attempt).toThrow(PtmonError);
    expect(attempt).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  });

  test.each([32, 52])('takes %i address bits', (physicalAddressBits) => {
    expect(makePaging({ mode: '4-level', physicalAddressBits })).toMatchObject({ physicalAddressBits });
  });

  test.each([1n << 32n, 1n << 51n, 0xfffffn << 32n])('takes the encryption mask %i', (encryptionMask) => {
    expect(makePaging({ mode: '4-level', encryptionMask })).toMatchObject({ encryptionMask });
  });
});
