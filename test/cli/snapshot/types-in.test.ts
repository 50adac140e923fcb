/** `--btf` with what is no file. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { typesIn } from '../../../src/cli/snapshot/linux-view.ts';

const folder = mkdtempSync(join(tmpdir(), 'ptmon-btf-'));
const pipe = join(folder, 'pipe');
const hasPipes = process.platform !== 'win32';

beforeAll(() => {
  if (hasPipes) execFileSync('sh', ['-c', 'mkfifo "$0"', pipe]);
});
afterAll(() => rmSync(folder, { recursive: true }));

const CASES: readonly (readonly [path: string, message: string])[] = [
  [folder, `--btf ${folder} is not a file`],
  [join(folder, 'none'), `--btf ${folder}/none does not exist`],
  // To open it would be to wait for its writer.
  ...(hasPipes ? [[pipe, `--btf ${pipe} is not a file`] as const] : []),
];

test.each(CASES)('%s', async (path, message) => {
  await expect(typesIn(path)).rejects.toMatchObject({ code: 'source-unavailable', message });
});
