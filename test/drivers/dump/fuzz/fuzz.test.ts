import { join } from 'node:path';
import process from 'node:process';
import { expect, test } from 'vitest';
import { openDump } from '../../../../src/drivers/dump/index.ts';
import { findAddressSpace, listRanges } from '../../../../src/snapshot/index.ts';
import { all } from '../../../snapshot/space.ts';
import { temporaryFolder } from '../../qemu/launch/temporary-folder.ts';
import { dumpFile } from '../write-dump.ts';
import { attempt } from './attempt.ts';
import { BASES, FUZZED_FORMATS } from './bases.ts';

test.each(FUZZED_FORMATS)('%s is read before it is spoiled', async (format) => {
  for (const bytes of BASES[format]) {
    const dump = await openDump(dumpFile(bytes));
    const space = await findAddressSpace(dump, { root: 0x10_0000n, mode: '4-level' });
    expect((await all(listRanges(dump, space))).length).toBe(2);
    await dump.close();
  }
});

test.each(FUZZED_FORMATS)('spoiled %s ends in an answer or in an error that says where', async (format) => {
  const path = join(temporaryFolder(), 'dump');
  const counts = { opened: 0, refused: 0, 'failed later': 0 };
  for (let seed = 1; seed <= 60; seed++) {
    const outcome = await attempt(format, seed, path).catch((error: unknown) => {
      throw new Error(`seed ${seed} (npm run fuzz:dump -- --format ${format} --replay ${seed})`, { cause: error });
    });
    counts[outcome]++;
  }
  process.stdout.write(`${format}: ${JSON.stringify(counts)}\n`);
  expect(counts.opened).toBeGreaterThan(0);
  if (format !== 'raw') expect(counts.refused).toBeGreaterThan(0);
});
