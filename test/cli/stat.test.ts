import { readFileSync, writeFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { bundledTrace } from '../../src/cli/commands/demo/bundled-traces.ts';
import { introductionText } from '../../src/cli/trace/about-text.ts';
import type { TraceAbout } from '../../src/drivers/trace/index.ts';
import type { Summary } from '../../src/sinks/sink.ts';
import { temporaryFolder } from '../drivers/trace/temporary-folder.ts';
import { parse, run } from './run.ts';

const file = temporaryFolder();
const timeout = 60_000;
const tour = bundledTrace('tour');

test('a screenful: events by kind, process and entry, the most frequently changed addresses, rates', {
  timeout,
}, async () => {
  const { code, stdout, stderr } = await run(['stat', tour], { columns: 80 });
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const lines = stdout.split('\n');
  expect(lines.length).toBeLessThanOrEqual(40);
  for (const line of lines) expect(line.length, line).toBeLessThanOrEqual(80);
  expect(stdout).toMatch(/\d+ page-in, \d+ page-out, \d+ protection/);
  expect(stdout).toMatch(/\d+ stops, \d+ bytes \(\d+\.\d a write\), at most \d+ page tables at once/);
  expect(stdout).toMatch(
    /process +pages in +out +entry +pages in +out\nworkload\[\d+\] +\+2\d\d\d +-2\d\d\d +PDE +\+2048 +-2048/,
  );
  expect(stdout).toMatch(/events  most changed +root +who\n +\d+  0x1000002/);
  expect(stdout).toMatch(/writes\/s [ ▁▂▃▄▅▆▇█]+ max \d+\nevents\/s [ ▁▂▃▄▅▆▇█]+ max \d+\n/);
});

test('the same for programs, and it agrees with what a replay says', { timeout }, async () => {
  const [stat] = parse((await run(['stat', tour, '--json'])).stdout);
  const replay = parse((await run(['replay', tour, '--json'])).stdout);
  const { counts, writes, lost } = replay.at(-1)!;
  expect(stat).toMatchObject({ counts, writes, lost, ended: 'stopped', about: { source: 'qemu', capture: 'traps' } });
  const { eventsPerSecond, timeUs } = stat as { eventsPerSecond: number[]; timeUs: number };
  const events = eventsPerSecond.reduce((sum, rate) => sum + rate, 0) * (timeUs / 1e6 / eventsPerSecond.length);
  expect(Math.round(events)).toBe(replay.filter(({ seq }) => seq !== undefined).length);
  // About 20 bytes a write at most, tables and all.
  expect(readFileSync(tour).length / Number(writes)).toBeLessThan(20);
});

test('of a trace that was cut, what is whole; then the place, exit 4', { timeout }, async () => {
  const cut = file('cut.trace');
  writeFileSync(cut, readFileSync(bundledTrace('boot')).subarray(0, 60_000));
  const { code, stdout, stderr } = await run(['stat', cut]);
  expect(code).toBe(4);
  expect(stdout).toMatch(/\d+ page-in/);
  expect(stderr).toMatch(/at byte \d+/);
});

test('claims to be exact only where no event is lost', () => {
  const about = { title: '', source: 'qemu', startedAt: '', capture: 'traps' } as TraceAbout;
  const summaryOf = (more: object): Summary => ({
    ...{ ended: 'stopped', counts: { 'page-in': 1, 'page-out': 0, protection: 0, restructure: 0, 'root-gone': 0 } },
    ...{
      writes: 1,
      commits: 1,
      resyncs: 1,
      foundByResync: 0,
      lost: { known: 0, unknown: false },
      faults: 0,
      retries: 0,
    },
    ...more,
  });
  const lines = (summary?: Summary) => introductionText(about, '4-level', summary).split('\n').at(-1);
  expect(lines(summaryOf({}))).toBe('Exact: it contains each write to a watched entry.');
  const unknown = { known: 0, unknown: true, reasons: ['several vCPUs'] };
  expect(lines(summaryOf({ lost: unknown }))).toBe(
    'Recorded with watchpoints on the watched entries, but not exact: see the lost events below.',
  );
  for (const summary of [
    undefined,
    summaryOf({ lost: { known: 3, unknown: false } }),
    summaryOf({ ended: 'failed' }),
  ]) {
    expect(lines(summary)).toMatch(/^Recorded with watchpoints/);
  }
});

test('no file at all', async () => {
  expect(await run(['stat', file('none')])).toMatchObject({ code: 3, stdout: '' });
  expect((await run(['stat'])).code).toBe(2);
});
