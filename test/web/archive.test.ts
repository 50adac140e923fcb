/** An archive as `ptmon serve` and `ptmon report` show it: the same picture as the trace that was archived, without its walks. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { beforeAll, afterAll, describe, expect, test } from 'vitest';
import { bundledTrace } from '../../src/cli/commands/demo/bundled-traces.ts';
import { openFiles } from '../../src/cli/web/open-scene.ts';
import { Keeper } from '../../src/fleet/archive/keeper.ts';
import { gapLine, segmentLine, segmentName } from '../../src/fleet/journal/segment.ts';
import { isSwapped, kindOf } from '../../src/web/picture/look.ts';
import type { Scene } from '../../src/web/picture/scene.ts';
import { Timeline } from '../../src/web/picture/timeline.ts';
import { run } from '../cli/run.ts';

let folder: string;
let lines: string[];
const { signal } = new AbortController();

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'ptmon-archive-scene-'));
  const { stdout } = await run(['replay', bundledTrace('tour'), '--json', '--time']);
  lines = stdout.trimEnd().split('\n');
  await keep('one', 'vm', lines);
}, 60_000);
afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface KeptAs {
  readonly host?: string;
  readonly session?: string;
  /** Lines of the session before these, in segments of as many lines. */
  readonly before?: number;
}

async function keep(
  archive: string,
  vm: string,
  of: readonly string[],
  { host = 'h', session = `s-${vm}`, before = 0 }: KeptAs = {},
): Promise<void> {
  const facts = { host, vm, boot: 'b', session, started: '2026-11-25T00:00:00.000Z' };
  const journal = join(folder, 'journal');
  mkdirSync(journal, { recursive: true });
  const number = before / of.length;
  const text = segmentLine(facts, number, before) + of.map((line) => `${line}\n`).join('');
  writeFileSync(join(journal, `${segmentName(facts, number)}.jsonl`), text);
  await new Keeper({ journal, archive: join(folder, archive, 'events') }).keep();
}

/** By space, the pages that are backed and by which frame, after a share of the steps. */
function backedIn(scene: Scene, timeMs: number): Record<string, string> {
  const timeline = new Timeline(scene);
  timeline.seek(timeline.countAt(timeMs));
  const spaces = timeline.spaces.map(({ name, map }) => {
    const pages = map.runs
      .filter(([, , look]) => !isSwapped(look))
      .flatMap(([vpn, count, , gfn]) => Array.from({ length: count }, (_, at) => `${vpn + at}:${gfn + at}`));
    return [name, pages.join(' ')] as const;
  });
  return Object.fromEntries(spaces.filter(([, pages]) => pages !== ''));
}

describe('an archive', () => {
  test('has the pages of the trace that was archived, at every time', async () => {
    const [trace, archive] = [
      await openFiles([bundledTrace('tour')], {}, signal),
      await openFiles([join(folder, 'one')], {}, signal),
    ];
    const [theirs, ours] = [trace.scene(), archive.scene()];
    expect(ours).toMatchObject({ kind: 'recording', mode: theirs.mode });
    expect(ours.title).toMatch(/^vm on h, watched from \d{4}-/);
    expect(ours.steps.length).toBeGreaterThan(100);
    for (const share of [0.1, 0.3, 0.5, 0.7, 0.9, 1]) {
      const timeMs = share * theirs.endMs;
      const expected = backedIn(theirs, timeMs);
      expect(Object.keys(expected).length, `at ${timeMs} ms`).toBeGreaterThan(0);
      expect(backedIn(ours, timeMs), `at ${timeMs} ms`).toEqual(expected);
    }
    expect(archive.counts().pages).toEqual(trace.counts().pages);
  });

  test('has the lines of its events, and says that it has no page tables', async () => {
    const archive = await openFiles([join(folder, 'one')], {}, signal);
    const told: string[] = [];
    for await (const line of archive.lines(signal)!) told.push(line.trimEnd());
    const expected = lines.filter((line) => JSON.parse(line).seq !== undefined);
    // Recordings from before there were these keys have the same in their tags.
    const withoutOwner = (line: string) => line.replace(/"pid":\d+,"comm":"[^"]*",("map":"[^"]*",)?/, '');
    expect(told.length).toBe(expected.length);
    expect(told.find((line, at) => withoutOwner(line) !== withoutOwner(expected[at]!))).toBeUndefined();
    await expect(archive.walk({ root: 0x1000, va: 0n })).rejects.toMatchObject({ code: 'bad-argument' });
    expect(archive.scene().notes.join()).toContain('not page tables');
  });

  test('what was backed before the watch began has no rights, and is not shown with any', async () => {
    const { spaces } = (await openFiles([join(folder, 'one')], {}, signal)).scene();
    const looks = spaces.flatMap(({ runs }) => runs.map(([, , look]) => kindOf(look)));
    expect(new Set(looks)).toEqual(new Set(['backed']));
  });

  test('tells of gaps where they are, and shows the last session', async () => {
    const [begin = '', ...rest] = lines;
    await keep('gaps', 'vm', [begin, ...rest.slice(0, 20)], { session: 'older' });
    const later = rest.slice(0, 30).map((line) => line.replaceAll('"at":"2026', '"at":"2027'));
    await keep('gaps', 'vm', [begin, ...later, gapLine(7, 'the disk was full').trimEnd()], { session: 'newer' });
    const scene = (await openFiles([join(folder, 'gaps')], {}, signal)).scene();
    expect(scene.title).toContain('watched from 2027-');
    expect(scene.steps.at(-1)?.note).toBe('7 events missing: the disk was full');
    expect(scene.notes.join(' ')).toContain('Events are missing in 1 places');
  });

  test('has all of its last session where another of the same VM went on meanwhile, in many files', async () => {
    const events = lines.filter((line) => JSON.parse(line).seq !== undefined).slice(0, 60);
    for (let before = 0; before < events.length; before += 10) {
      for (const [at, session] of ['s1', 's2'].entries()) {
        const part = events.slice(before, before + 10).map((line, index) => {
          const second = String(before + index).padStart(2, '0');
          return line.replace(/"at":"[^"]*"/, `"at":"2026-11-25T00:00:${second}.00000${at}Z"`);
        });
        await keep('interleaved', 'vm', part, { session, before });
      }
    }
    const archive = await openFiles([join(folder, 'interleaved')], {}, signal);
    const told: string[] = [];
    for await (const line of archive.lines(signal)!) told.push(line);
    expect(told.length).toBe(60);
    expect(told.every((line) => line.includes('.000001Z'))).toBe(true);
  });

  test('tells VMs apart whose names, with those of their hosts, are one text', async () => {
    await keep('slash', 'b/c', lines.slice(0, 20), { host: 'a', session: 's1' });
    await keep('slash', 'c', lines.slice(0, 20), { host: 'a/b', session: 's2' });
    await expect(openFiles([join(folder, 'slash')], {}, signal)).rejects.toThrow('events of several VMs');
    expect((await openFiles([join(folder, 'slash')], { of: 'b/c' }, signal)).scene().title).toMatch(/^b\/c on a,/);
  });

  test.each<[what: string, damage: (path: string) => void, message: string]>([
    ['cut', (path) => truncateSync(path, 3000), 'damaged or lost'],
    ['garbage', (path) => writeFileSync(path, 'x'.repeat(5000)), 'damaged or lost'],
    ['empty', (path) => writeFileSync(path, ''), 'damaged or lost'],
    ['lost', (path) => rmSync(path), 'damaged or lost'],
  ])('with a file that is %s: names it, and what to do', async (what, damage, message) => {
    await keep(what, 'vm', lines.slice(0, 20));
    const events = join(folder, what, 'events');
    const [file] = readdirSync(events, { recursive: true, encoding: 'utf8' }).filter((path) =>
      path.endsWith('.parquet'),
    );
    damage(join(events, file!));
    const { code, stderr } = await run(['report', join(folder, what), '-o', join(folder, `${what}.html`)]);
    expect(stderr).toContain(file);
    expect(stderr).toContain(message);
    expect(code).toBe(4);
  });

  test('a file in the place of a folder is none of it', async () => {
    await keep('foreign', 'vm', lines.slice(0, 20));
    const events = join(folder, 'foreign', 'events');
    const [day] = readdirSync(events);
    for (const path of ['day=x', 'notes.txt', `${day}/host=x`, `${day}/notes.txt`])
      writeFileSync(join(events, path), 'x');
    expect((await openFiles([join(folder, 'foreign')], {}, signal)).scene().title).toMatch(/^vm on h/);
    await keep('foreign', 'vm', lines.slice(20, 40), { before: 20 });
  });

  test('of several VMs one must be named', async () => {
    for (const vm of ['a', 'b']) await keep('two', vm, lines.slice(0, 20));
    const path = join(folder, 'two');
    const open = (of?: string) => openFiles([path], of === undefined ? {} : { of }, signal);
    await expect(open()).rejects.toThrow(`${path}: events of several VMs: choose one with --of: h/a, h/b`);
    await expect(open('c')).rejects.toThrow(`${path}: no VM c in the archive: choose one with --of: h/a, h/b`);
    for (const name of ['b', 'h/b']) expect((await open(name)).scene().title).toMatch(/^b on h/);
  });

  test.each<[what: string, words: string[], message: RegExp]>([
    ['an empty folder', ['EMPTY'], /EMPTY: no archive: it has neither events\/ nor day=… folders/],
    ['a second source', ['one', 'one'], /one is a folder: only dumps can be compared; give an archive alone/],
    ['a process', ['one', '--pid', '1'], /--pid, --comm and --root are for a dump or a live guest/],
  ])('%s is refused', async (_what, words, message) => {
    mkdirSync(join(folder, 'EMPTY'), { recursive: true });
    const known = new Set(readdirSync(folder));
    const args = words.map((word) => (known.has(word) ? join(folder, word) : word));
    const { code, stderr } = await run(['report', ...args, '-o', join(folder, 'x.html')]);
    expect(stderr).toMatch(message);
    expect(code).toBe(2);
  });

  test('--of is for an archive', async () => {
    const { code, stderr } = await run(['report', bundledTrace('tour'), '--of', 'vm', '-o', join(folder, 'x.html')]);
    expect(stderr).toMatch(/--of is for an archive: .* is a file/);
    expect(code).toBe(2);
  });
});
