import { fileURLToPath } from 'node:url';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { openFiles } from '../../src/cli/web/open-scene.ts';
import { lookOf } from '../../src/web/picture/look.ts';
import type { SceneSource } from '../../src/web/scene/scene-source.ts';
import { run } from '../cli/run.ts';
import { launchBrowser, mappedPages, noBrowser, openPage, serveSource, shownEvents, shownPages } from './browser.ts';
import { fileSource, HOSTILE, hostileEvent, hostileScene, TestGuest } from './scenes.ts';

const HUGE = fileURLToPath(new URL('../../traces/huge.trace', import.meta.url));
const WRITABLE = lookOf(7, 1);

/** What the page puts into its window for tests. */
declare global {
  interface Window {
    ptmon: {
      model: {
        seekTime(ms: number): void;
        changed(): void;
        set(key: 'isLost', value: boolean): void;
        shown: { areas: readonly { readonly pages: number }[] } | undefined;
        timeline: { at: number; isAtEnd: boolean; steps: readonly unknown[] };
      };
      drawn: { frames: number };
    };
  }
}

describe.skipIf(noBrowser('the page in a browser'))('the page', () => {
  let browser: Browser;
  let trace: SceneSource;
  beforeAll(async () => {
    browser = await launchBrowser();
    trace = await openFiles([HUGE], {}, new AbortController().signal);
  });
  afterAll(() => browser?.close());

  test('shows of a trace what map and replay say', async () => {
    const { page, faults } = await openPage(browser, await serveSource(trace));
    await page.evaluate(() => window.ptmon.model.seekTime(Infinity));
    const { root } = trace.scene().spaces[0]!;
    const { stdout } = await run(['map', HUGE, '--root', `0x${root.toString(16)}`, '--user', '--runs', '--json']);
    const expected = mappedPages(stdout);
    expect(expected.size).toBeGreaterThan(500);
    // A cell that has just changed flashes.
    await expect
      .poll(async () => Object.fromEntries(await shownPages(page)), { timeout: 20_000 })
      .toEqual(Object.fromEntries(expected));

    const replay = await run(['replay', HUGE, '--json']);
    const events = replay.stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as { kind: string; va: string; tags: string[]; seq?: number })
      .filter(({ seq }) => seq !== undefined);
    expect((await shownEvents(page)).reverse()).toEqual(
      events.map(({ kind, va, tags }) => ({ kind, who: tags.join(':'), address: kind === 'root-gone' ? 'ended' : va })),
    );
    expect(faults).toEqual([]);
  });

  test('goes back to the beginning, and marks what differs from it', async () => {
    const { page } = await openPage(browser, await serveSource(trace));
    const before = Object.fromEntries(await shownPages(page));
    await page.getByRole('button', { name: 'Compare from here' }).click();
    await page.evaluate(() => window.ptmon.model.seekTime(Infinity));
    await page.getByText(/since 0\.000 s:/).waitFor();
    expect(await page.locator('.comparison').innerText()).not.toContain('+0 −0 ~0');
    await page.getByRole('slider', { name: 'Time' }).focus();
    await page.keyboard.press('Home');
    await expect.poll(() => page.locator('.comparison').innerText()).toContain('+0 −0 ~0');
    await page.getByRole('button', { name: 'Stop comparing' }).click();
    await expect.poll(async () => Object.fromEntries(await shownPages(page)), { timeout: 20_000 }).toEqual(before);
  });

  test('a block that changes its size is drawn before anybody sees it: no canvas is black', async () => {
    const { page } = await openPage(browser, await serveSource(trace));
    // At the end of the task in which the size changes: a frame may be shown then, and the next one draws.
    const blank = await page.evaluate(async () => {
      const canvas = document.querySelector<HTMLCanvasElement>('canvas.cells')!;
      const pixel = () => canvas.getContext('2d')!.getImageData(1, 1, 1, 1).data.join();
      const before = pixel();
      const found = new Promise<string>((resolve) => {
        new MutationObserver(() => resolve(pixel())).observe(canvas, { attributeFilter: ['width'] });
      });
      const { model } = window.ptmon;
      const { areas } = model.shown!;
      model.shown!.areas = areas.map((area, at) => (at === 0 ? { ...area, pages: area.pages - 1 } : area));
      model.changed();
      return [before, await found];
    });
    expect(blank[1]).toBe(blank[0]);
  });

  test('plays a recording, and stops at its end', async () => {
    const { page } = await openPage(browser, await serveSource(trace));
    await page.getByLabel('Speed').selectOption('16');
    await page.getByRole('button', { name: 'Play' }).click();
    await page.waitForFunction(() => window.ptmon.model.timeline.isAtEnd);
    await page.getByRole('button', { name: 'Play' }).waitFor();
  });

  test('opens a cell with the keyboard, and tells its walk level by level', async () => {
    const { page } = await openPage(browser, await serveSource(trace));
    const canvas = page.locator('canvas.cells').first();
    await canvas.focus();
    await page.keyboard.press('ArrowRight');
    await expect
      .poll(() => page.locator('.spoken').first().innerText())
      .toMatch(/^0x401000: 4K r-xu executable, frame 0x/);
    await page.keyboard.press('Enter');
    const { root } = trace.scene().spaces[0]!;
    const { stdout } = await run(['translate', HUGE, '0x401000', '--root', `0x${root.toString(16)}`]);
    await page.locator('.details pre').waitFor();
    const lines = (await page.locator('.details pre').innerText()).split('\n').map((line) => line.trim());
    // At the beginning of the recording, entries may lack the accessed bit that they have at its end.
    const places = lines
      .filter((line) => /^(PML|PD|PT)/.test(line))
      .map((line) => line.replace(/ = .*/, '').replaceAll(/ +/g, ' '));
    expect(places).toHaveLength(5);
    const cut = await page.locator('.details pre').evaluate((pre) => pre.scrollWidth - pre.clientWidth);
    expect(cut, 'columns of the walk that are out of sight').toBeLessThanOrEqual(0);
    for (const place of places) expect(stdout.replaceAll(/ +/g, ' ')).toContain(place);
  });

  test('the mouse shows the walk of a cell', async () => {
    const { page } = await openPage(browser, await serveSource(trace));
    await page
      .locator('canvas.cells')
      .first()
      .hover({ position: { x: 3, y: 3 } });
    await expect.poll(() => page.locator('.tooltip').innerText()).toMatch(/0x400000: 4K r--u read-only[^]*PTE 0 = 0x/);
  });

  test('filters events by kind and text', async () => {
    const { page } = await openPage(browser, await serveSource(trace));
    await page.evaluate(() => window.ptmon.model.seekTime(Infinity));
    await page.getByLabel(/in$/).first().uncheck();
    await expect.poll(async () => (await shownEvents(page)).some(({ kind }) => kind === 'page-in')).toBe(false);
    await page.getByRole('searchbox').fill('stage');
    await expect
      .poll(async () => [...new Set((await shownEvents(page)).map(({ who }) => who))])
      .toEqual(['workload[81]:stage']);
  });

  test('physical memory has the frames of the shown spaces', async () => {
    const { page, faults } = await openPage(browser, await serveSource(trace));
    await page.getByRole('tab', { name: 'Physical memory' }).click();
    await expect.poll(() => page.locator('.physical').innerText()).toContain('of frames are mapped by');
    await page
      .locator('.physical canvas')
      .first()
      .hover({ position: { x: 3, y: 3 } });
    await expect
      .poll(() => page.locator('.physical [role=status]').first().innerText())
      .toMatch(/^Frame 0x[0-9a-f]+: workload\[81\]/);
    expect(faults).toEqual([]);
  });

  test.each(['recording', 'still', 'comparison', 'live'] as const)('hostile names are text: %s', async (kind) => {
    const source = kind === 'live' ? new TestGuest() : fileSource(hostileScene(kind));
    const { page, faults } = await openPage(browser, await serveSource(source));
    if (source instanceof TestGuest) {
      await expect.poll(() => source.listeners.size).toBe(1);
      source.step({ timeMs: 9, changes: [[0, 0x1000, 1, [[0x1000, 1, WRITABLE, 0x77]]]], events: [hostileEvent] });
    } else if (kind === 'recording') {
      await page.evaluate(() => window.ptmon.model.seekTime(Infinity));
    }
    if (kind !== 'still') {
      await page.locator('.stream button').first().click();
      await page.locator('.details h2 code').waitFor();
    }
    await page.getByRole('tab', { name: 'Physical memory' }).click();
    await page.locator('.physical').waitFor();
    const shown = await page.locator('body').innerText();
    expect(shown).toContain(HOSTILE.slice(0, 30));
    expect(await page.locator('img').count()).toBe(0);
    expect(await page.locator('script').count()).toBe(1);
    expect(await page.title()).not.toBe('owned');
    expect(faults).toEqual([]);
  });

  test('a guest that changes faster than the page lists says so, and the picture is complete', async () => {
    const guest = new TestGuest();
    const { page, faults } = await openPage(browser, await serveSource(guest));
    await expect.poll(() => guest.listeners.size).toBe(1);
    const events = 20_000;
    for (let at = 0; at < events; at++) {
      const vpn = 0x1000 + (at % 64);
      const isIn = Math.floor(at / 64) % 2 === 0 || vpn % 2 === 0;
      guest.step({
        timeMs: at / 10,
        changes: [[0, vpn, 1, isIn ? [[vpn, 1, WRITABLE, at]] : []]],
        events: [{ ...hostileEvent, kind: isIn ? 'page-in' : 'page-out', vpn, who: 'busy[7]:heap' }],
      });
      if (at % 1000 === 0) await new Promise((resolve) => setTimeout(resolve, 10));
    }
    const notice = page.locator('.events .notice');
    await notice.waitFor();
    const counted = async () => {
      const omitted = Number((await notice.innerText()).replace(/ events.*/, '').replaceAll(',', ''));
      const listed = await page.evaluate(() =>
        (window.ptmon.model.timeline.steps as { events: unknown[] }[]).reduce(
          (sum, step) => sum + step.events.length,
          0,
        ),
      );
      return omitted + listed;
    };
    await expect.poll(counted, { timeout: 20_000 }).toBe(events);
    const expected = new Map<number, string>();
    // The last round but one is even, and the last one is cut after 32 pages.
    for (let at = events - 64; at < events; at++) {
      const vpn = 0x1000 + (at % 64);
      if (Math.floor(at / 64) % 2 === 0 || vpn % 2 === 0) expected.set(vpn, 'writable');
    }
    await expect
      .poll(async () => Object.fromEntries([...(await shownPages(page))].sort()), { timeout: 20_000 })
      .toEqual(Object.fromEntries([...expected].sort()));
    expect(faults).toEqual([]);
  });

  test('what changes is drawn at once, its fading at beats, and the texts part by part', async () => {
    const guest = new TestGuest();
    const { page } = await openPage(browser, await serveSource(guest));
    await expect.poll(() => guest.listeners.size).toBe(1);
    await page.evaluate(() => {
      const seen = { copies: 0, frame: 0, list: [] as number[], caption: [] as number[] };
      Object.assign(window, { seen });
      const { prototype } = CanvasRenderingContext2D;
      prototype.putImageData = new Proxy(prototype.putImageData, {
        apply: (copy, canvas, args) => (seen.copies++, Reflect.apply(copy, canvas, args)),
      });
      const count = () => (seen.frame++, requestAnimationFrame(count));
      count();
      const all = { subtree: true, childList: true, characterData: true };
      new MutationObserver(() => seen.list.push(seen.frame)).observe(document.querySelector('.stream')!, all);
      new MutationObserver(() => seen.caption.push(seen.frame)).observe(document.querySelector('.caption')!, all);
    });
    const began = performance.now();
    for (let at = 0; at < 20; at++) {
      const change = [0, 0x1000 + at, 1, [[0x1000 + at, 1, WRITABLE, 0x77]]] as const;
      guest.step({ timeMs: at * 50, changes: [change], events: [{ ...hostileEvent, who: `w[${at}]` }] });
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    await page.locator('.stream').getByText('w[19]').waitFor();
    await page.waitForFunction(() => (window as unknown as { seen: { caption: number[] } }).seen.caption.length > 0);
    const { copies, list, caption } = await page.evaluate(
      () => (window as unknown as { seen: { copies: number; list: number[]; caption: number[] } }).seen,
    );
    const steps = await page.evaluate(() => window.ptmon.model.timeline.steps.length);
    expect(copies).toBeGreaterThan(0);
    expect(copies).toBeLessThanOrEqual(steps + (performance.now() - began) / 150 + 2);
    expect(list.length).toBeGreaterThan(0);
    expect(list.filter((frame) => caption.includes(frame))).toEqual([]);
  });

  test('a large page that goes leaves nothing behind between its cells', async () => {
    const runs = [[0x1000, 512, lookOf(7, 512), 0x200]] as const;
    const areas = [{ vpn: 0x1000, pages: 512, name: 'heap' }];
    const guest = new TestGuest({
      ...hostileScene('live'),
      spaces: [{ root: 0x1000, name: 'w[7]', pid: 7, areas, runs }],
    });
    const { page } = await openPage(browser, await serveSource(guest));
    await expect.poll(() => guest.listeners.size).toBe(1);
    expect((await shownPages(page)).get(0x1000)).toBe('writable 2M');
    guest.step({ timeMs: 9, changes: [[0, 0x1000, 512, []]], events: [] });
    const colours = () =>
      page.locator('section.area canvas').evaluate((canvas: HTMLCanvasElement) => {
        const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
        return [...new Set(new Uint32Array(data.buffer))].map((pixel) => pixel.toString(16)).sort();
      });
    await expect.poll(colours, { timeout: 20_000 }).toEqual(['fff0ece9', 'ffffffff']);
  });

  test('a paused page stays where it is, and is live again on demand', async () => {
    const guest = new TestGuest();
    const { page } = await openPage(browser, await serveSource(guest));
    await expect.poll(() => guest.listeners.size).toBe(1);
    await page.getByRole('button', { name: 'Pause' }).click();
    const before = Object.fromEntries(await shownPages(page));
    guest.step({ timeMs: 9, changes: [[0, 0x1000, 1, [[0x1000, 1, WRITABLE, 0x77]]]], events: [hostileEvent] });
    await page.waitForFunction(() => window.ptmon.model.timeline.steps.length === 1);
    expect(Object.fromEntries(await shownPages(page))).toEqual(before);
    await page.getByRole('button', { name: 'Live' }).click();
    await expect.poll(async () => (await shownPages(page)).get(0x1000), { timeout: 20_000 }).toBe('writable');
    guest.end('the guest has ended');
    await page.getByText('ended: the guest has ended').waitFor();
  });

  test('where nothing happens, time goes on, and the last second is that of the clock', async () => {
    const scene = { ...hostileScene(), endMs: 5000 };
    const { page } = await openPage(browser, await serveSource(fileSource(scene)));
    const caption = page.locator('.caption');
    await page.evaluate(() => window.ptmon.model.seekTime(500));
    await expect.poll(() => caption.innerText()).toContain('Last second, pages: 1 in');
    await page.evaluate(() => window.ptmon.model.seekTime(3000));
    await expect.poll(() => caption.innerText()).toContain('Nothing changed in the last second.');
    expect(await page.locator('.time output').innerText()).toBe('3.000 / 5.000 s');
    await page.getByRole('button', { name: 'Compare from here' }).click();
    await page.getByText(/since 3\.000 s:/).waitFor();

    const guest = new TestGuest();
    const live = (await openPage(browser, await serveSource(guest))).page;
    await expect.poll(() => guest.listeners.size).toBe(1);
    guest.step({ timeMs: 9, changes: [], events: [hostileEvent] });
    await expect.poll(() => live.locator('.caption').innerText()).toContain('Last second, pages: 1 in');
    const look = () => {
      for (const { onProcesses } of guest.listeners) onProcesses(guest.processes);
      return live.locator('.caption').innerText();
    };
    await expect.poll(look, { timeout: 10_000 }).toContain('Nothing changed in the last second.');
  });

  test('the walk of a page stays while a live guest goes on; a server that is gone is named until it is back', async () => {
    const guest = new TestGuest();
    const { page } = await openPage(browser, await serveSource(guest));
    await expect.poll(() => guest.listeners.size).toBe(1);
    await page
      .locator('canvas.cells')
      .first()
      .click({ position: { x: 3, y: 3 } });
    const walk = page.locator('.details pre');
    await walk.waitFor();
    let [wanted, seen] = [0, 0];
    for (let at = 1; at <= 40; at++) {
      guest.step({ timeMs: at * 100, changes: [[0, 0x1003, 1, [[0x1003, 1, WRITABLE, at]]]], events: [] });
      await page.waitForFunction((count) => window.ptmon.model.timeline.steps.length === count, at);
      await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(resolve)));
      wanted++;
      seen += await walk.count();
    }
    expect(seen).toBe(wanted);

    await page.route('**/api/**', (route) => route.abort());
    await page.getByRole('navigation').getByRole('button').first().click();
    await page.getByRole('alert').getByText('ptmon serve does not answer').waitFor();
    await page.evaluate(() => window.ptmon.model.set('isLost', true));
    await expect.poll(() => page.locator('.badge').getAttribute('class')).toBe('badge is-ended');
    await page.evaluate(() => window.ptmon.model.set('isLost', false));
    await expect.poll(() => page.getByRole('alert').count()).toBe(0);
  });

  test('light and dark follow the system', async () => {
    const url = await serveSource(trace);
    const background = async (scheme: 'light' | 'dark') => {
      const { page } = await openPage(browser, url, { scheme });
      return page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    };
    expect([await background('light'), await background('dark')]).toEqual(['rgb(255, 255, 255)', 'rgb(20, 24, 29)']);
  });

  test('fits into a small window', async () => {
    const { page } = await openPage(browser, await serveSource(trace), { width: 800, height: 600 });
    const overflow = await page.evaluate(() => [
      document.body.scrollWidth - innerWidth,
      document.body.scrollHeight - innerHeight,
    ]);
    expect(overflow).toEqual([0, 0]);
    expect(await page.locator('canvas.cells').first().isVisible()).toBe(true);
    await page.evaluate(() => window.ptmon.model.seekTime(9500));
    await page.locator('.stream .who').first().waitFor();
    // Of names that do not fit, the PID is still seen.
    const cut = await page.$$eval('.stream .who', (all) =>
      all.map((who) => who.querySelector('.pid')!.getBoundingClientRect().right - who.getBoundingClientRect().right),
    );
    expect(cut.length).toBeGreaterThan(0);
    expect(Math.max(...cut)).toBeLessThanOrEqual(0.5);
    expect(await page.locator('.stream .pid').first().innerText()).toMatch(/^\[\d+\]$/);
  });

  test('without the token there is only a sentence', async () => {
    const page = await browser.newPage();
    await page.goto((await serveSource(trace)).replace(/\?.*/, '?token=wrong'));
    expect((await page.locator('body').innerText()).trim()).toBe(
      'Wrong or missing token: open the address that ptmon serve has printed.',
    );
    await page.close();
  });
});
