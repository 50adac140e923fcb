import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { Random } from '../../../src/testing/random.ts';
import { attempt } from './fuzz/attempt.ts';
import { MUTATIONS } from './fuzz/mutate.ts';
import { recordLife } from './recorded-life.ts';
import { temporaryFolder } from './temporary-folder.ts';

const file = temporaryFolder();

test.each(Object.keys(MUTATIONS))('C8 %s: no crash, no hang, an error with its place', async (name) => {
  const path = file('base.trace');
  await recordLife(path, { seed: 5, steps: 20, vcpus: 2, selfMap: true, mode: 'pae' });
  const base = readFileSync(path);
  const sums = { whole: 0, damaged: 0, instants: 0 };
  for (let seed = 0; seed < 60; seed++) {
    const { isWhole, instants } = await attempt(MUTATIONS[name]!(base, new Random(seed)), file('damaged.trace'));
    sums[isWhole ? 'whole' : 'damaged']++;
    sums.instants += instants;
  }
  // Otherwise nothing was tried.
  expect(sums.damaged).toBeGreaterThan(5);
});
