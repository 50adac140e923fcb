/** The memory of the process that watches a VM: whatever a guest makes it take, it is ended, the gap is stated, and it begins again. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { VmProcess } from '../../src/fleet/agent/vm-process.ts';
import type { WatchRule } from '../../src/fleet/policy/policy.ts';
import { makeFolder } from './agent-process.ts';

/** Instead of the watch: takes memory until it is ended. */
const FAULTS: Readonly<Record<string, string>> = {
  'outside its heap': 'const all = []; setInterval(() => all.push(Buffer.alloc(2 ** 24, 1)), 20);',
  'in its heap':
    'const all = []; setInterval(() => all.push(Array.from({ length: 2 ** 18 }, (_, at) => ({ at }))), 20);',
};

test.each<[where: string, problem: RegExp]>([
  ['outside its heap', /^ended with SIGKILL, because it took \d+ MiB of memory \(memoryMiB 40 allows 168\)$/],
  ['in its heap', /^ended with (SIGABRT|134)$/],
])('a process that takes memory %s is ended, and begins again', { timeout: 60_000 }, async (where, problem) => {
  const folder = makeFolder();
  const journal = join(folder, 'journal');
  mkdirSync(journal);
  const program = join(folder, 'program.cjs');
  writeFileSync(program, FAULTS[where]!);
  const lines: string[] = [];
  const vm = new VmProcess({
    vm: { name: 'test-greedy', boot: 'b', rule: {} as WatchRule, target: { kind: 'trace', file: 'none', speed: 1 } },
    host: 'h',
    folder: journal,
    maxMs: 1000,
    maxBytes: 2 ** 20,
    memoryMiB: 40,
    program: [program],
    log: (line) => lines.push(line),
  });
  onTestFinished(() => vm.stop());
  vm.start();
  await expect.poll(() => vm.status.restarts, { timeout: 50_000 }).toBe(1);
  expect(vm.status.problem).toMatch(problem);
  expect(lines.join('\n')).toMatch(/^VM test-greedy: the watch ended with .*; it begins again in \d+ s$/m);
  const gaps = readdirSync(journal).map((name) => readFileSync(join(journal, name), 'utf8'));
  expect(gaps.join('')).toMatch(/"kind":"gap".*the watching process was ended by SIG/);
});
