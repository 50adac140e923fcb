import { describe, expect, test } from 'vitest';
import { pagingFromRegisters } from '../../../src/core/paging/registers.ts';

const PG = 0x8000_0001n;
const PSE = 0x10n;
const PAE = 0x20n;
const LA57 = 0x1000n;
const LMA = 0x500n; // LME and LMA
const NXE = 0x800n;

describe('T1 the control registers select the paging mode', () => {
  const on = { noExecuteEnable: true, pageSizeExtensions: true };
  const off = { noExecuteEnable: false, pageSizeExtensions: false };
  test.each([
    ['a booted Linux', { cr0: 0x80050033n, cr4: 0x6f0n, efer: 0xd01n }, { mode: '4-level', ...on }],
    ['5-level', { cr0: PG, cr4: PAE | LA57 | PSE, efer: LMA | NXE }, { mode: '5-level', ...on }],
    ['4-level without NXE', { cr0: PG, cr4: PAE, efer: LMA }, { mode: '4-level', ...off }],
    ['PAE', { cr0: PG, cr4: PAE, efer: NXE }, { mode: 'pae', ...off, noExecuteEnable: true }],
    ['PAE with LA57 set: only long mode looks at it', { cr0: PG, cr4: PAE | LA57, efer: 0n }, { mode: 'pae', ...off }],
    ['32-bit with PSE', { cr0: PG, cr4: PSE, efer: 0n }, { mode: '32-bit', ...off, pageSizeExtensions: true }],
    ['32-bit without PSE', { cr0: PG, cr4: 0n, efer: 0n }, { mode: '32-bit', ...off }],
    ['long mode enabled (LME) but not active', { cr0: PG, cr4: PAE, efer: 0x100n }, { mode: 'pae', ...off }],
  ] as const)('%s', (_, registers, expected) => {
    expect(pagingFromRegisters(registers)).toEqual(expected);
  });

  test.each([0n, 0x60000010n, 0x7fff_ffffn])('paging is off while CR0 is %s', (cr0) => {
    expect(pagingFromRegisters({ cr0, cr4: PAE | LA57, efer: LMA | NXE })).toBeUndefined();
  });
});
