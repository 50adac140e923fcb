import { setTimeout as sleep } from 'node:timers/promises';
import type { Scene, Step } from '../../src/web/picture/scene.ts';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { launchBrowser, mappedPages, openPage, shownEvents, shownPages, whyNoBrowser } from '../web/browser.ts';
import { startPtmon } from './ptmon-process.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest } from './watched-guest.ts';

const VA = 0x300000000000n;
const HUGE = 0x300040000000n;
const hex = (va: bigint) => `0x${va.toString(16)}`;
const pageOf = (va: bigint) => Number(va / 4096n);

describe.skipIf(leftOut('the page of a live guest', whyNoBrowser))('the page of a live guest', () => {
  let machine: WatchedGuest;
  let browser: Browser;
  beforeAll(async () => {
    machine = await WatchedGuest.boot({ cpu: 'max,la57=off', memoryMiB: 768 });
    browser = await launchBrowser();
    await command(`map 16 small at=${hex(VA)}`);
    await command(`map 1024 huge at=${hex(HUGE)}`);
  }, 180_000);
  afterAll(async () => {
    await browser?.close();
    await machine?.stop();
  });

  const command = (line: string) => machine.guest.workload.command(line, { timeoutMs: 60_000 });

  /** Serves until `look` has looked, and ends it as Ctrl-C does. */
  async function served(mode: 'exact' | 'sample', look: (page: Page, url: string) => Promise<void>): Promise<void> {
    const { qmpPath, gdbPath } = machine.guest;
    const sockets = ['--qmp', qmpPath, ...(mode === 'exact' ? ['--gdb', gdbPath] : [])];
    const serve = startPtmon('serve', ...sockets, '--mode', mode, '--pid', String(machine.pid));
    await serve.lines(1);
    const url = serve.stdout.trim();
    expect(url, serve.stderr).toMatch(/^http:/);
    const { page, faults } = await openPage(browser, url);
    await page.locator('canvas.cells').first().waitFor();
    await look(page, url);
    expect(faults).toEqual([]);
    serve.child.kill('SIGINT');
    expect(await serve.ended).toBe(130);
  }

  /** What `ptmon map` says of the process, with the guest paused for it. */
  async function mapped(): Promise<Record<string, string>> {
    const { qmpPath, gdbPath } = machine.guest;
    const args = ['--qmp', qmpPath, '--gdb', gdbPath, '--pid', String(machine.pid), '--user', '--runs', '--json'];
    const map = startPtmon('map', ...args);
    expect(await map.ended, map.stderr).toBe(0);
    return Object.fromEntries(mappedPages(map.stdout));
  }

  test.each(['exact', 'sample'] as const)(
    'shows what map and the events say: %s',
    async (mode) => {
      await command(`dontneed ${hex(VA)} 16`);
      let shown: Record<string, string> = {};
      await served(mode, async (page, url) => {
        const lines = fetch(url.replace('/?', '/events?'));
        await sleep(200);
        await command(`touch ${hex(VA)} 8`);
        await command(`mprotect ${hex(VA)} 2 r`);
        await command(`touch ${hex(HUGE)} 1`);
        await expect
          .poll(async () => (await shownPages(page)).get(pageOf(HUGE)), { timeout: 20_000 })
          .toBe('writable 2M');
        await expect.poll(async () => (await shownPages(page)).get(pageOf(VA)), { timeout: 20_000 }).toBe('read-only');
        await expect
          .poll(async () => (await shownPages(page)).get(pageOf(VA) + 7), { timeout: 20_000 })
          .toBe('writable');
        shown = Object.fromEntries(await shownPages(page));

        const events = await shownEvents(page);
        const reader = (await lines).body!.getReader();
        const { value } = await reader.read();
        let text = new TextDecoder().decode(value);
        while (!text.includes('"protection"')) text += new TextDecoder().decode((await reader.read()).value);
        await reader.cancel();
        const told = text
          .trim()
          .split('\n')
          .map((line) => JSON.parse(line) as { kind: string; va: string; tags: string[]; seq?: number })
          .filter(({ seq }) => seq !== undefined)
          .map(({ kind, va, tags }) => ({ kind, who: tags.join(':'), address: va }));
        const inPage = (list: typeof told) =>
          list.filter(({ address }) => BigInt(address) >= VA && BigInt(address) < HUGE);
        expect(inPage(events).reverse().slice(0, inPage(told).length)).toEqual(inPage(told));
      });
      // The workload waits: the guest's memory is what it was.
      expect(shown).toEqual(await mapped());
      await command(`dontneed ${hex(HUGE)} 512`);
      await command(`mprotect ${hex(VA)} 2 rw`);
    },
    120_000,
  );

  test('a heap that grows has its new pages in its block with the event that tells of them', async () => {
    await served('exact', async (page) => {
      await command('heap 64');
      const place = () =>
        page.evaluate(() => {
          const { scene, timeline } = (
            window as unknown as { ptmon: { model: { scene: Scene; timeline: { steps: Step[] } } } }
          ).ptmon.model;
          let areas = scene.spaces[0]!.areas;
          for (const step of timeline.steps) {
            areas = step.areas?.find(([space]) => space === 0)?.[1] ?? areas;
            const event = step.events.find(({ kind, who }) => kind === 'page-in' && who.endsWith(':heap'));
            if (event !== undefined)
              return areas.find(({ vpn, pages }) => vpn <= event.vpn && event.vpn < vpn + pages)?.name ?? 'no block';
          }
          return 'no event';
        });
      await expect.poll(place, { timeout: 20_000 }).not.toBe('no event');
      expect(await place()).toBe('[heap]');
      await command('heap back');
    });
  }, 120_000);

  test('a swapped page is one', async () => {
    await command(`touch ${hex(VA)} 4`);
    await served('exact', async (page) => {
      await command(`swapout ${hex(VA)} 2`);
      await expect.poll(async () => (await shownPages(page)).get(pageOf(VA) + 1), { timeout: 20_000 }).toBe('swapped');
      expect((await shownPages(page)).get(pageOf(VA) + 2)).toBe('writable');
      await command(`touch ${hex(VA)} 2`);
      await expect.poll(async () => (await shownPages(page)).get(pageOf(VA) + 1), { timeout: 20_000 }).toBe('writable');
    });
  }, 120_000);

  test('a page names each process that has its frame, also one that is not followed', async () => {
    await served('sample', async (page) => {
      await page.locator('section[aria-label="/init"] canvas').click({ position: { x: 25, y: 3 } });
      await page
        .locator('.details')
        .getByText(/Its frame is mapped 2 times: .*init\[1\] 0x40[0-9a-f]000/)
        .waitFor();
    });
  }, 120_000);

  test('metrics know its processes', async () => {
    await served('sample', async (_page, url) => {
      const metrics = await (await fetch(url.replace('/?', '/metrics?'))).text();
      expect(metrics).toMatch(
        new RegExp(`ptmon_process_memory_bytes\\{pid="${machine.pid}",comm="workload",state="resident"\\} \\d{5}`),
      );
      expect(metrics).toContain('ptmon_up 1');
    });
  }, 120_000);

  test('a guest that ends leaves its last picture, and says so', async () => {
    const { qmpPath } = machine.guest;
    const serve = startPtmon('serve', '--qmp', qmpPath, '--pid', String(machine.pid));
    await serve.lines(1);
    const { page } = await openPage(browser, serve.stdout.trim());
    await page.locator('canvas.cells').first().waitFor();
    await machine.stop();
    await page.locator('.badge.is-ended').waitFor();
    expect((await shownPages(page)).size).toBeGreaterThan(50);
    const health = await fetch(serve.stdout.trim().replace(/\/\?.*/, '/healthz'));
    expect(health.status).toBe(503);
    serve.child.kill('SIGINT');
    expect(await serve.ended).toBe(130);
  }, 120_000);
});
