import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { inflateRawSync } from 'node:zlib';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { lookOf } from '../../src/web/picture/look.ts';
import type { Change, Scene, Step } from '../../src/web/picture/scene.ts';
import { Timeline } from '../../src/web/picture/timeline.ts';
import { fitScene } from '../../src/web/report/fit-scene.ts';
import { reportHtml } from '../../src/web/report/report-html.ts';
import { comparisonScene } from '../../src/web/scene/snapshot-scene.ts';
import { run } from '../cli/run.ts';
import { dumpOf } from '../cli/space-dump.ts';
import { NO_EXECUTE, PRESENT, SpaceBuilder, USER, WRITABLE } from '../snapshot/space.ts';
import { launchBrowser, mappedPages, noBrowser, openPage, shownEvents, shownPages } from './browser.ts';
import { HOSTILE, hostileEvent, hostileScene } from './scenes.ts';

const HUGE = fileURLToPath(new URL('../../traces/huge.trace', import.meta.url));
const VA = 0x40_0000n;

const folder = mkdtempSync(join(tmpdir(), 'ptmon-report-'));
afterAll(() => rmSync(folder, { recursive: true }));
const file = (name: string) => join(folder, name);

function before(): SpaceBuilder {
  return new SpaceBuilder()
    .map(VA, 4, 0x1000n, PRESENT | USER)
    .map(VA + 0x4000n, 4, 0x8000n, PRESENT | WRITABLE | USER | NO_EXECUTE);
}

function after(): SpaceBuilder {
  return new SpaceBuilder()
    .map(VA, 4, 0x1000n, PRESENT | USER)
    .map(VA + 0x4000n, 2, 0x8000n, PRESENT | USER | NO_EXECUTE)
    .map(VA + 0x8000n, 3, 0x20000n, PRESENT | WRITABLE | USER);
}

function sceneIn(html: string): Scene {
  const packed = /id="scene">([^<]*)</.exec(html)![1]!;
  return JSON.parse(inflateRawSync(Buffer.from(packed, 'base64')).toString()) as Scene;
}

describe('ptmon report', () => {
  test('writes one small file', async () => {
    const { code, stdout, stderr } = await run(['report', HUGE, '-o', file('trace.html')]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: '' });
    expect(stderr).toMatch(/trace\.html: \d{3} KB\n$/);
    const html = readFileSync(file('trace.html'), 'utf8');
    expect(html).not.toMatch(/(?:src|href)=/);
    const piped = await run(['report', HUGE, '-o', '-']);
    expect(piped.stdout).toBe(html);
  });

  test('does not overwrite what is no page, but for --force', async () => {
    writeFileSync(file('notes.txt'), 'my notes');
    const refused = await run(['report', HUGE, '-o', file('notes.txt')]);
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('is there already, and is not an HTML page');
    expect(readFileSync(file('notes.txt'), 'utf8')).toBe('my notes');
    expect((await run(['report', HUGE, '-o', file('notes.txt'), '--force'])).code).toBe(0);
    expect((await run(['report', HUGE, '-o', file('notes.txt')])).code).toBe(0);
  });

  test.each([
    [['report', HUGE], 2, '--output <file> is missing'],
    [['report', 'missing.trace', '-o', 'x.html'], 3, 'missing.trace does not exist'],
    [['report', HUGE, '-o', '/nowhere/x.html'], 2, '/nowhere/x.html cannot be written to: its folder does not exist'],
    [['report', HUGE, '--pid', '1', '-o', 'x.html'], 2, '--pid, --comm and --root are for a dump or a live guest'],
  ])('refuses %j', async (args, code, message) => {
    const outcome = await run(args);
    expect(outcome.stderr.replaceAll(/\s+/g, ' ')).toContain(message);
    expect(outcome.code).toBe(code);
    expect(existsSync('x.html')).toBe(false);
  });

  test('what does not fit is left out, and the scene says so', () => {
    const look = lookOf(7, 1);
    const steps = (count: number, each: number): Step[] =>
      Array.from({ length: count }, (_, at) => ({
        timeMs: at,
        changes: [[0, at % 64, 1, [[at % 64, 1, look, at]]]] as Change[],
        events: Array.from({ length: each }, (_, vpn) => ({ ...hostileEvent, vpn })),
      }));
    const fit = (scene: Scene, bytes: number) => fitScene(scene, (each) => JSON.stringify(each).length <= bytes);
    const small = { ...hostileScene(), steps: steps(10, 1) };
    expect(fit(small, 100_000)).toBe(small);

    const listed = fit({ ...hostileScene(), steps: steps(20, 100) }, 100_000)!;
    expect(listed.notes.at(-1)).toBe('160 of 2000 events are listed; the picture and the rates have all of them.');
    expect(listed.steps.map(({ events, omitted }) => [events.length, omitted])).toEqual(
      Array.from({ length: 20 }, () => [8, 92]),
    );

    const long = fit({ ...hostileScene(), steps: steps(2000, 1) }, 50_000)!;
    expect(long.notes.at(-1)).toMatch(/^\d+ of 2000 moments are kept, and no single events/);
    expect(long.steps.at(-1)!.timeMs).toBe(1999);
    expect(long.steps.reduce((sum, { counts = {} }) => sum + (counts['page-in'] ?? 0), 0)).toBe(2000);
    const [whole, fitted] = [{ ...hostileScene(), steps: steps(2000, 1) }, long].map((scene) => {
      const timeline = new Timeline(scene);
      timeline.seek(Infinity);
      return timeline.spaces[0]!.map.runs;
    });
    expect(fitted).toEqual(whole);

    expect(fit({ ...hostileScene(), steps: steps(2000, 1) }, 1800)).toMatchObject({ kind: 'still', steps: [] });
    expect(fit(small, 100)).toBeUndefined();
  });
});

test('a comparison names the area of each difference, as events of a live guest do, with the rights of both', () => {
  const scene = (gfn: number, rights: string): Scene => ({
    ...hostileScene('still'),
    spaces: [
      {
        root: 0x1000,
        name: 'nginx[7]',
        pid: 7,
        areas: [{ vpn: 0x10, pages: 16, name: '[heap]', rights }],
        runs: [[0x12, 2, lookOf(7, 1), gfn]],
      },
    ],
  });
  const { spaces, steps } = comparisonScene(scene(0x77, 'rw-p'), scene(0x99, 'r--p'));
  const { events } = steps[0]!;
  expect(events.map(({ kind, who, vpn }) => `${kind} ${who} ${vpn}`)).toEqual([
    'page-out nginx[7]:heap 18',
    'page-in nginx[7]:heap 18',
  ]);
  expect(spaces[0]!.areas).toEqual([{ vpn: 0x10, pages: 16, name: '[heap]', rights: 'rw-p r--p' }]);
});

describe.skipIf(noBrowser('reports in a browser'))('a report in a browser', () => {
  let browser: Browser;
  beforeAll(async () => {
    browser = await launchBrowser();
  });
  afterAll(() => browser?.close());

  const open = async (name: string) => {
    const opened = await openPage(browser, pathToFileURL(file(name)).href);
    const requests: string[] = [];
    opened.page.on('request', (request) => requests.push(request.url()));
    return { ...opened, requests };
  };

  test('shows a trace as ptmon map does, without a network', async () => {
    await run(['report', HUGE, '-o', file('trace.html')]);
    const { page, faults, requests } = await open('trace.html');
    // Before anything is played, it says what the trace is about.
    expect(await page.locator('.caption').innerText()).toMatch(
      /^Before the first change\. In all [\d.]+ s, pages: [\d,]+ in, [\d,]+ out, .*most of it in workload/,
    );
    expect(await page.locator('.stream').innerText()).toBe('No events yet.');
    await page.evaluate(() => window.ptmon.model.seekTime(Infinity));
    await page.getByRole('searchbox').fill('no such name');
    await page.getByText('No event fits the filters.').waitFor();
    await page.getByRole('searchbox').fill('');
    const { stdout } = await run([
      'map',
      HUGE,
      '--user',
      '--runs',
      '--json',
      '--root',
      `0x${sceneIn(readFileSync(file('trace.html'), 'utf8')).spaces[0]!.root.toString(16)}`,
    ]);
    await expect
      .poll(async () => Object.fromEntries(await shownPages(page)), { timeout: 20_000 })
      .toEqual(Object.fromEntries(mappedPages(stdout)));
    await page
      .locator('canvas.cells')
      .first()
      .click({ position: { x: 3, y: 3 } });
    await expect.poll(() => page.locator('.details').innerText()).toContain(`ptmon translate ${HUGE} --root`);
    expect(faults).toEqual([]);
    expect(requests).toEqual([]);
  });

  test('shows a dump, and what changed between two', async () => {
    const [a, b] = [dumpOf(before()), dumpOf(after())];
    await run(['report', a, '-o', file('dump.html')]);
    const still = await open('dump.html');
    const map = await run(['map', a, '--runs', '--json']);
    expect(Object.fromEntries(await shownPages(still.page))).toEqual(Object.fromEntries(mappedPages(map.stdout)));
    expect(still.faults).toEqual([]);

    expect(await still.page.getByRole('list', { name: 'Colours' }).innerText()).not.toContain('changing');
    expect(await still.page.locator('.caption').innerText()).toMatch(
      /^1 address space at one moment; .* has [\d.]+[KM] in memory\.$/,
    );

    await run(['report', a, a, '-o', file('same.html')]);
    const same = await open('same.html');
    expect(await same.page.locator('.caption').innerText()).toContain('Nothing changed from the first to the second.');

    await run(['report', a, b, '-o', file('diff.html')]);
    const { page, faults } = await open('diff.html');
    const diff = await run(['diff', a, b, '--json']);
    const differences = diff.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { kind: string; va: string })
      .filter(({ va }) => va !== undefined);
    expect(differences.length).toBeGreaterThan(2);
    const shown = (await shownEvents(page)).reverse().map(({ kind, address }) => ({ kind, va: address }));
    expect(shown).toEqual(differences.map(({ kind, va }) => ({ kind, va })));
    const now = await run(['map', b, '--runs', '--json']);
    const pages = await shownPages(page);
    for (const [vpn, kind] of mappedPages(now.stdout)) expect(pages.get(vpn)).toBe(kind);
    expect(faults).toEqual([]);
  });

  test('hostile names are text', async () => {
    writeFileSync(file('hostile.html'), reportHtml(hostileScene()));
    const { page, faults } = await open('hostile.html');
    await page.evaluate(() => window.ptmon.model.seekTime(Infinity));
    await page.locator('.stream button').first().click();
    expect(await page.locator('body').innerText()).toContain(HOSTILE.slice(0, 30));
    expect(await page.locator('img').count()).toBe(0);
    expect(await page.title()).not.toBe('owned');
    expect(faults).toEqual([]);
  });
});
