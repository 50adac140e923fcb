import { expect, test } from 'vitest';
import { CSV } from '../../../src/cli/commands/map/range-text.ts';
import type { Pa } from '../../../src/core/address/types.ts';
import { vaOf } from '../../../src/core/address/va.ts';
import { SpaceBuilder } from '../../snapshot/space.ts';

test('CSV has every digit of a length beyond 2^53', () => {
  const rights = { writable: false, user: false, noExecute: true, protectionKey: 0 };
  const range = { va: vaOf(0, 0), byteLength: 2 ** 56, rights, sizes: [], pa: 0 as Pa, runs: 1, repeats: true };
  expect(CSV.range(range, new SpaceBuilder('5-level').space, [])).toContain(',72057594037927936,');
});
