/** docs/formats/jsonl.md names every key of every kind of line. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { bundledTrace } from '../../src/cli/commands/demo/bundled-traces.ts';
import { run } from '../cli/run.ts';

test('every key and every kind of line is documented', { timeout: 60_000 }, async () => {
  const page = readFileSync('docs/formats/jsonl.md', 'utf8');
  const documented = new Set([...page.matchAll(/`(\w[\w-]*)`/g)].map(([, word]) => word));
  const simulated = ['demo', '--sim', '--json', '--isolation', '--kinds', 'protection,restructure,root-gone'];
  const outputs = await Promise.all([run(simulated), run(['replay', bundledTrace('boot'), '--json', '--time'])]);
  const undocumented = new Set<string>();
  const kinds = new Set<string>();
  for (const { stdout } of outputs) {
    for (const line of stdout.trimEnd().split('\n')) {
      const { kind, options: _, counts: __, ...fields } = JSON.parse(line);
      kinds.add(kind);
      for (const word of [kind, ...keysOf(fields)]) if (!documented.has(word)) undocumented.add(word);
    }
  }
  expect([...undocumented]).toEqual([]);
  expect([...kinds]).toEqual(expect.arrayContaining(['header', 'watch', 'unwatch', 'page-in', 'page-out', 'end']));
});

function keysOf(value: unknown): string[] {
  if (typeof value !== 'object' || value === null) return [];
  const keys = Array.isArray(value) ? [] : Object.keys(value);
  return [...keys, ...Object.values(value).flatMap(keysOf)];
}
