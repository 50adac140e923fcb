import { Ansis } from 'ansis';
import { describe, expect, test } from 'vitest';
import { RebuiltPages } from '../sinks/rebuilt-pages.ts';
import { parse, run } from './run.ts';

/** Other tests may have the processors. */
const timeout = 60_000;
const MODES = ['4-level', '5-level', 'pae', '32-bit'];

interface Said {
  kind: string;
  seq: number;
  root: string;
  va: string;
  pa: string;
  pageSize: number;
  pages?: number;
  tags: string[];
}

function eventsOf(jsonl: string): Said[] {
  return parse(jsonl).filter(({ seq }) => seq !== undefined) as unknown as Said[];
}

describe('E7 the same options give the same bytes', { timeout }, () => {
  test.each([
    '',
    '--seed 5 --vcpus 1 --after 0',
    '--mode pae --isolation --vcpus 4',
    '--mode 5-level --self-map --kinds protection,restructure,root-gone',
  ])('demo --json %s', async (text) => {
    const options = text.split(' ').filter(Boolean);
    const first = await run(['demo', '--sim', '--json', ...options]);
    expect(first.code).toBe(0);
    expect(first.stderr).toBe('');
    expect(first.stdout.split('\n').length).toBeGreaterThan(20);
    expect(await run(['demo', '--sim', '--json', ...options])).toEqual(first);
  });

  test('and another seed gives others', async () => {
    const [one, other] = await Promise.all([
      run(['demo', '--sim', '--json']),
      run(['demo', '--sim', '--json', '--seed', '19']),
    ]);
    expect(eventsOf(one.stdout)).not.toEqual(eventsOf(other.stdout));
  });
});

describe('JSON lines', { timeout }, () => {
  test('begin with what the events depend on and end with what was counted', async () => {
    const options = ['--seed', '3', '--steps', '20', '--after', '50', '--vcpus', '3', '--mode', 'pae', '--isolation'];
    const lines = parse((await run(['demo', '--sim', '--json', ...options, '--kinds', 'root-gone'])).stdout);
    expect(lines[0]).toMatchObject({
      v: 1,
      kind: 'header',
      source: 'sim',
      mode: 'pae',
      kinds: ['root-gone'],
      options: { seed: 3, steps: 20, after: 50, vcpus: 3, isolation: true, selfMap: false },
    });
    const counts: Record<string, number> = {
      'page-in': 0,
      'page-out': 0,
      protection: 0,
      restructure: 0,
      'root-gone': 0,
    };
    const events = lines.filter(({ seq }) => seq !== undefined);
    for (const { kind } of events) counts[kind as string]!++;
    expect(lines.at(-1)).toMatchObject({
      v: 1,
      kind: 'end',
      ended: 'finished',
      counts,
      lost: { known: 0, unknown: false },
    });
    expect(events.map(({ seq }) => seq)).toEqual(events.map((_, index) => index));
  });

  test.each(MODES)('E1 in and out alternate for every page: %s', async (mode) => {
    const options = ['--mode', mode, '--after', '0', '--steps', '400', '--isolation', '--kinds', 'root-gone'];
    const pages = new RebuiltPages((await run(['demo', '--sim', '--json', ...options])).stdout);
    expect(pages.contradictions).toEqual([]);
    expect(pages.fitting).toBeGreaterThan(400);
  });

  test('tags name process and area', async () => {
    const events = eventsOf((await run(['demo', '--sim', '--json', '--isolation'])).stdout);
    for (const { tags } of events) for (const tag of tags) expect(tag).toMatch(/^[\w-]+\[\d+\]:[\w:-]+(@user)?$/);
    expect(events.some(({ tags }) => tags.some((tag) => tag.endsWith('@user')))).toBe(true);
  });
});

describe('for people', { timeout }, () => {
  test.each(MODES)('%s: who, where, why, and what came of it', async (mode) => {
    const { code, stdout, stderr } = await run(['demo', '--sim', '--mode', mode]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(
      new RegExp(`^A simulated guest: ${mode} paging, 2 vCPUs, seed \\d+\\.\nWatching \\d+ process`),
    );
    expect(stdout).toMatch(/^fault {4}\+ \S+\[\d+\]:\S+ +0x[0-9a-f]+…? +0x[0-9a-f]+ +\S+ +\S/m);
    expect(stdout).toMatch(/^\w[\w-]* +- \S+\[\d+\]:\S+ /m);
    expect(stdout).toMatch(/\n\d+ page-in, \d+ page-out\n\d+ trapped writes, no events lost, \d+\.\d\d s\n$/);
  });

  test.each([80, 120])('no line is longer than %i columns', async (columns) => {
    for (const options of [
      [],
      ['--isolation', '--mode', '5-level', '--vcpus', '16', '--kinds', 'protection,restructure,root-gone'],
    ]) {
      const { stdout } = await run(['demo', '--sim', ...options], { columns });
      for (const line of stdout.split('\n')) expect(line.length, line).toBeLessThanOrEqual(columns);
    }
  });

  test('fits two screens and a summary', async () => {
    const { stdout } = await run(['demo', '--sim'], { columns: 80 });
    const lines = stdout.split('\n').length;
    expect(lines).toBeGreaterThan(30);
    expect(lines).toBeLessThan(66);
  });

  test('tables add up to the events', async () => {
    const { stdout } = await run(['demo', '--sim']);
    const json = eventsOf((await run(['demo', '--sim', '--json'])).stdout);
    const pagesOf = (kind: string): number =>
      json.filter((event) => event.kind === kind).reduce((sum, { pages = 1 }) => sum + pages, 0);
    const table = stdout.slice(stdout.lastIndexOf('\nprocess')).split('\n');
    for (const [columns, name] of [
      [[0, 37], 'by process'],
      [[41, 78], 'by what the guest did'],
    ] as const) {
      const cells = table.map((line) => line.slice(...columns)).join('\n');
      const sum = (sign: string): number =>
        [...cells.matchAll(new RegExp(` \\${sign}(\\d+)`, 'g'))].reduce((total, [, n]) => total + Number(n), 0);
      expect([sum('+'), sum('-')], name).toEqual([pagesOf('page-in'), pagesOf('page-out')]);
    }
  });

  test('a terminal gets colour, and the same text', async () => {
    const saved = { ...process.env };
    try {
      for (const name of ['NO_COLOR', 'FORCE_COLOR']) delete process.env[name];
      process.env['TERM'] = 'xterm-256color';
      const seconds = /\d+\.\d+ s/;
      const coloured = (await run(['demo', '--sim'], { isTTY: true })).stdout;
      expect(coloured).toContain('\x1b[32m+\x1b[39m');
      const plain = (await run(['demo', '--sim'])).stdout;
      expect(plain).not.toContain('\x1b');
      expect(new Ansis(0).strip(coloured).replace(seconds, '')).toBe(plain.replace(seconds, ''));
    } finally {
      process.env = saved;
    }
  });

  test('a guest that does nothing worth telling is told of as well', async () => {
    const { code, stdout } = await run(['demo', '--sim', '--after', '0', '--steps', '1', '--vcpus', '1']);
    expect(code).toBe(0);
    expect(stdout).toContain('page-in');
  });
});
