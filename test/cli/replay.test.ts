import { copyFileSync, readFileSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { bundledTrace, bundledTraces } from '../../src/cli/commands/demo/bundled-traces.ts';
import { temporaryFolder } from '../drivers/trace/temporary-folder.ts';
import { RebuiltPages } from '../sinks/rebuilt-pages.ts';
import { parse, run } from './run.ts';

const file = temporaryFolder();
const timeout = 60_000;
const tour = bundledTrace('tour');

/** Pages that came or went. */
function moved(events: ReturnType<typeof parse>): number {
  const moves = events.filter(({ kind }) => kind === 'page-in' || kind === 'page-out');
  return moves.reduce((sum, { pages = 1 }) => sum + Number(pages), 0);
}

describe('the traces that come with it', { timeout }, () => {
  test('are of real guests, whole, and no more than 2 MB', async () => {
    const sizes = bundledTraces().map((name) => readFileSync(bundledTrace(name)).length);
    expect(bundledTraces()).toEqual(['tour', 'boot', 'fork', 'huge', 'swap']);
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThan(2e6);
  });

  test.each(bundledTraces())('%s is a recording of an exact watch that lost nothing', async (name) => {
    const { code, stdout, stderr } = await run(['demo', name, '--json']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = parse(stdout);
    expect(lines[0]).toMatchObject({ kind: 'header', source: 'qemu', options: { watch: 'exact' } });
    expect(lines.at(-1)).toMatchObject({ kind: 'end', lost: { known: 0, unknown: false }, faults: 0 });
    const events = lines.filter(({ seq }) => seq !== undefined);
    expect(events.reduce((sum, { pages = 1 }) => sum + Number(pages), 0)).toBeGreaterThan(1000);
    // Its lines alone say at each of them which page is where.
    const { contradictions, fitting } = new RebuiltPages(stdout);
    expect({ contradictions, fitting }).toEqual({ contradictions: [], fitting: moved(events) });
  });

  test('show in them what they are said to show', async () => {
    const text = async (name: string) => (await run(['demo', name], { columns: 80 })).stdout;
    const [shown, boot, fork, huge, swap] = await Promise.all(bundledTraces().map(text));
    expect(shown).toMatch(/^Linux 6\.\S+: a tour/);
    expect(boot).toMatch(/uname\[\d+\]:/);
    expect(boot).toMatch(/\+ \S*\[\d+\]:stack/);
    expect(fork).toMatch(/~ work\S*\[\d+\]:stage 0x100000000000… \S+ +64×4K +64 PTEs changed/);
    expect(huge).toMatch(/- \S+ +0x100000000000 +\S+ +2M +PDE/);
    expect(huge).toMatch(/\+ \S+ +0x100000000000 +\S+ +512×4K PDE/);
    const out = [...swap!.matchAll(/^ +\S+ - work\S+\[\d+\]:stage \S+ +\S+ +(\d+)×4K/gm)].map(([, pages]) =>
      Number(pages),
    );
    expect(Math.max(...out)).toBeGreaterThan(500);
  });
});

describe('replay', { timeout }, () => {
  test('an error says nothing that would steer the terminal', async () => {
    const { code, stderr } = await run(['replay', '/none/\x1b[2J']);
    expect({ code, stderr }).toEqual({ code: 3, stderr: 'ptmon: /none/\\x1b[2J does not exist\n' });
  });

  test('lines fit the terminal, and end with what came of it', async () => {
    const { code, stdout } = await run(['replay', tour], { columns: 80 });
    expect(code).toBe(0);
    for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(80);
    expect(stdout).toContain('Recorded on 20');
    expect(stdout).toContain('Recorded with watchpoints on the watched entries; the end says what was lost.');
    expect(stdout).toMatch(/── fork: parent and child share all pages/);
    expect(stdout).toMatch(/process +pages in +out +entry +pages in +out\nworkload\[\d+\] +\+\d+ +-\d+/);
    expect(stdout).toMatch(/\d+ writes, no events lost/);
    expect(stdout).toMatch(/s of guest time in \d+\.\d+ s/);
  });

  test('of other addresses: those whose tables are in the trace', async () => {
    const kinds = ['--kinds', 'root-gone'];
    const { code, stdout } = await run(['replay', tour, '--json', '--va', '0x100000003000=three', ...kinds]);
    expect(code).toBe(0);
    const lines = parse(stdout);
    expect(lines[0]).toMatchObject({ options: { watch: 'exact', replay: 'other addresses' } });
    expect(lines.at(-1)).toMatchObject({ lost: { known: 0, unknown: true } });
    const three = lines.filter(({ seq }) => seq !== undefined);
    expect(three.length).toBeGreaterThan(2);
    for (const event of three) expect(event).toMatchObject({ va: '0x100000003000', tags: ['three'] });
    // Those that were watched then say the same of it.
    const all = parse((await run(['replay', tour, '--json', ...kinds])).stdout);
    const { root } = three[0]!;
    const same = all.filter((event) => {
      if (event['seq'] === undefined) return false;
      const va = BigInt(event['va'] as string);
      const end = va + BigInt((event['pages'] as number | undefined) ?? 1) * 4096n;
      return event['root'] === root && va <= 0x100000003000n && 0x100000003000n < end;
    });
    expect(three.map(({ kind }) => kind)).toEqual(same.map(({ kind }) => kind));
  });

  test('--time: each line has the recorded time, the same at every replay', async () => {
    const replayed = () => run(['replay', tour, '--json', '--time']);
    const [{ stdout }, again] = [await replayed(), await replayed()];
    expect(again.stdout).toBe(stdout);
    const times = parse(stdout)
      .slice(1, -1)
      .map(({ time }) => time as { us: number; at: string });
    for (const [at, { us }] of times.entries()) expect(us).toBeGreaterThanOrEqual(times[at - 1]?.us ?? 0);
    const [first, last] = [times[0]!, times.at(-1)!];
    expect(last.at).toMatch(/^20\d\d-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
    expect(Date.parse(last.at) - Date.parse(first.at)).toBeCloseTo((last.us - first.us) / 1000, -1);
    expect(last.us).toBeGreaterThan(1e6);
    expect((await run(['replay', tour, '--time'])).stderr).toMatch(/--time needs --json/);
  });

  test('of addresses that are not in it: that is said, after everything else', async () => {
    const { code, stdout, stderr } = await run([
      'replay',
      tour,
      '--va',
      '0xffffffff81000000',
      '--va',
      '0xffffffff81200000',
    ]);
    expect(code).toBe(2);
    expect(stdout).toContain('no events');
    expect(stderr).toMatch(
      /^ptmon: 0xffffffff81000000 of root 0x[0-9a-f]+ \(and 1 more\) cannot be watched in this trace: the table at/,
    );
  });

  test.each([
    ['no file', file('none.trace'), 3, 'does not exist'],
    ['a folder', '/', 3, '/ is not a file'],
    ['something else', import.meta.filename, 4, 'at byte 0 (0x0): this is not a trace'],
  ])('%s is said to be that', async (_name, path, expected, why) => {
    const { code, stdout, stderr } = await run(['replay', path]);
    expect({ code, stdout }).toEqual({ code: expected, stdout: '' });
    expect(stderr).toContain(`ptmon: ${path}`);
    expect(stderr).toContain(why);
  });

  test('a trace that was cut: all that is whole, then the place, exit 4', async () => {
    const cut = file('cut.trace');
    copyFileSync(bundledTrace('boot'), cut);
    const whole = readFileSync(cut);
    writeFileSync(cut, whole.subarray(0, whole.length - 10));
    const { code, stdout, stderr } = await run(['replay', cut, '--json']);
    expect(code).toBe(4);
    const lines = parse(stdout);
    expect(lines.length).toBeGreaterThan(100);
    expect(lines.at(-1)).toMatchObject({ kind: 'end', ended: 'failed', failure: { code: 'corrupt-input' } });
    expect(stderr).toMatch(/at byte \d+ \(0x[0-9a-f]+\): the file ends within a block/);
  });
});

test('demo --sim --record writes what replay repeats', { timeout }, async () => {
  const path = file('sim.trace');
  const live = await run(['demo', '--sim', '--json', '--record', path]);
  expect(live.code).toBe(0);
  expect(await run(['replay', path, '--json'])).toEqual(live);
  expect((await run(['replay', path])).stdout).toMatch(/^A simulated guest: 4-level paging, 2 vCPUs, seed 58\.\n/);
});
