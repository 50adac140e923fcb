/** Hostile tables with fixed seeds; `npm run fuzz` runs others. */
import { expect, test } from 'vitest';
import { ENGINE_NAMES, ENGINES } from './engine.ts';
import { hostileFailure } from './hostile.ts';
import { MODES } from './prove.ts';
import { programSeed } from './random.ts';

const PROGRAMS = 15;

const CASES = MODES.flatMap((mode) => ENGINE_NAMES.map((name) => [mode, name] as const));

test.each(CASES)('C8 cyclic, aliasing and garbage tables under ranges, %s, %s', (mode, name) => {
  const counts = { programs: 0, calls: 0, reads: 0, limited: 0 };
  for (let index = 0; index < PROGRAMS; index++) {
    const failure = hostileFailure(mode, programSeed(20261129, index), ENGINES[name], counts);
    if (failure !== undefined) throw new Error(failure);
  }
  expect(counts.programs).toBe(PROGRAMS);
  // Most modes have levels enough to reach the limit.
  if (mode === '4-level' || mode === '5-level') expect(counts.limited).toBeGreaterThan(3);
});
