import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import type { Report } from '../../bench/report.ts';
import { runBuilt } from './built.ts';

const QUICK = ['--sizes', '1k', '--runs', '2', '--ms', '5'];

describe('npm run bench', () => {
  test('measures the rows that are named, each in processes of its own, and prints JSON alone', () => {
    const { code, stdout, stderr } = runBuilt('main.js', ['--json', '--rows', 'flip,read', ...QUICK]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '1k flip\n1k read\n' });
    const { results } = JSON.parse(stdout) as Report;
    expect(results.map(({ row, engine, figures }) => `${row} ${engine} ${figures.length}`)).toEqual([
      'flip ptmon 2',
      'flip naive 2',
      'read ptmon 2',
    ]);
    for (const { value, calibrations } of results.flatMap(({ figures }) => figures)) {
      for (const number of [value, ...calibrations]) expect(number).toBeGreaterThan(0);
    }
  });

  test('measures memory: what is live, and what the process grew by', () => {
    const { stdout } = runBuilt('main.js', [
      '--json',
      '--rows',
      'memory',
      '--engine',
      'ptmon',
      '--sizes',
      '1k',
      '--runs',
      '1',
    ]);
    const { results } = JSON.parse(stdout) as Report;
    const { value, residentBytes } = results[0]!.figures[0]!;
    // A watched address is at least a tag and an entry; a kilobyte is what the naive implementation takes.
    expect(value).toBeGreaterThan(8);
    expect(value).toBeLessThan(1024);
    expect(residentBytes).toBeGreaterThan(0);
  });

  test.each([
    [['--rows', 'flop'], 'no row flop; there are monitor,'],
    [['--sizes', '2k'], 'no size 2k; there are 1k, 100k, 1m'],
    [['--runs', '0'], '--runs 0 is not a number of processes'],
    [['--ms', 'soon'], '--ms soon is not a number of milliseconds'],
    [['--engine', 'steam'], 'no engine steam; there are ptmon, naive and both'],
    [['--slowly'], "Unknown option '--slowly'"],
  ])('refuses %j', (args, sentence) => {
    const { code, stdout, stderr } = runBuilt('main.js', args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(sentence);
  });
});

describe('npm run profile', () => {
  test('writes a profile of the timed rounds, and says where it is', () => {
    const folder = mkdtempSync(join(tmpdir(), 'ptmon-profile-'));
    try {
      const { code, stdout } = runBuilt('profile.js', ['unmonitor', '--size', '1k', '--ms', '40'], folder);
      expect(code).toBe(0);
      const path = 'reports/profiles/unmonitor-1k-ptmon.cpuprofile';
      expect(stdout).toContain(`Wrote ${path}.`);
      const { nodes, samples, timeDeltas } = JSON.parse(readFileSync(join(folder, path), 'utf8'));
      const names = nodes.map((node: { callFrame: { functionName: string } }) => node.callFrame.functionName);
      expect(names).toContain('unmonitorEach');
      // What builds and watches a guest before each round is not in it.
      expect(names).not.toContain('monitorEach');
      const ids = new Set(nodes.map((node: { id: number }) => node.id));
      expect(ids.size).toBe(nodes.length);
      expect(samples.every((id: number) => ids.has(id))).toBe(true);
      expect(timeDeltas).toHaveLength(samples.length);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test.each([
    [[], 'name one row of monitor,'],
    [['memory'], 'name one row of monitor,'],
    [['small-flip', '--size', '1m'], 'row small-flip is not measured at 1m'],
    [['flip', '--engine', 'steam'], 'no engine steam'],
  ])('refuses %j', (args, sentence) => {
    const { code, stderr } = runBuilt('profile.js', args);
    expect(code).toBe(2);
    expect(stderr).toContain(sentence);
  });
});
