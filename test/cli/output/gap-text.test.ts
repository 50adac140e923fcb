import { expect, test } from 'vitest';
import { gapLines } from '../../../src/cli/output/gap-text.ts';
import { makePaging } from '../../../src/core/paging/format.ts';
import { GapTotals } from '../../../src/snapshot/index.ts';

test('gaps of a kind of which none is named are counted', () => {
  const gaps = new GapTotals();
  for (let slot = 0; slot < 20; slot++)
    gaps.add({ reason: 'reserved-bit', vpn: slot * 512, pages: 512, level: 2, pa: 0x1000 + slot * 8 });
  gaps.add({ reason: 'no-memory', vpn: 2 ** 18, pages: 512, level: 1, pa: 0x5000 });
  const space = { paging: makePaging({ mode: '4-level' }), root: 0, from: '', isGuess: false };
  expect(gapLines(gaps, space)).toBe(
    'ptmon: 1 page table is missing, so it is unknown what 2M of the address space map to\n' +
      'ptmon: 20 entries have reserved bits set, so the processor faults there: 0x0+2M (PDE at 0x1000), ' +
      '0x200000+2M (PDE at 0x1008), 0x400000+2M (PDE at 0x1010), 0x600000+2M (PDE at 0x1018) and 16 more\n',
  );
});
