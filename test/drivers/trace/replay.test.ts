import { expect, test } from 'vitest';
import type { SimOptions } from '../../../src/testing/index.ts';
import { recordSim, replay } from './sessions.ts';
import { temporaryFolder } from './temporary-folder.ts';

const file = temporaryFolder();

const LIVES: readonly [name: string, options: SimOptions][] = [
  ['4-level paging', { seed: 3, steps: 120, vcpus: 2 }],
  ['5-level paging, isolation', { seed: 5, steps: 80, vcpus: 3, mode: '5-level', isolation: true }],
  ['PAE, a self-map', { seed: 7, steps: 80, vcpus: 1, mode: 'pae', selfMap: true }],
  ['32-bit paging', { seed: 9, steps: 80, vcpus: 2, mode: '32-bit' }],
];

test.each(LIVES)('E7 a replay says byte for byte what was said live: %s', async (name, options) => {
  const kinds = ['protection', 'restructure', 'root-gone'] as const;
  const path = file(`${name}.trace`);
  const live = await recordSim(path, options, kinds);
  expect(live.split('\n').length).toBeGreaterThan(100);
  expect(await replay(path, kinds)).toBe(live);
  // And again.
  expect(await replay(path, kinds)).toBe(live);
});
