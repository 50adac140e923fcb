/**
 * `npm run measure:web`: measures the page of `ptmon serve` in Chromium, with 100,000 cells of which many change in each frame, and with
 * 10,000 events a second. Prints the times, and their share of a frame at 60 frames a second.
 */
import { createServer } from 'node:http';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { getRequestListener } from '@hono/node-server';
import type { Page } from 'playwright-core';
import { explain } from '../../src/cli/web/explain.ts';
import { lookOf } from '../../src/web/picture/look.ts';
import type { Run } from '../../src/web/picture/runs.ts';
import type { Change, Scene } from '../../src/web/picture/scene.ts';
import { makeApp } from '../../src/web/server/app.ts';
import { launchBrowser, whyNoBrowser } from './browser.ts';
import { hostileEvent, hostileScene, TestGuest, TOKEN } from './scenes.ts';

const CELLS = 100_000;
const FRAME_MS = 1000 / 60;
const SECONDS = 5;
const WRITABLE = lookOf(7, 1);
const READ_ONLY = lookOf(6, 1);

/** One area of so many pages, every other run of them present. */
function sceneOf(cells: number): Scene {
  const runs: Run[] = Array.from({ length: cells / 16 }, (_, at) => [0x1000 + at * 16, 8, READ_ONLY, at * 16]);
  const areas = [{ vpn: 0x1000, pages: cells, name: 'heap' }];
  return { ...hostileScene('live'), spaces: [{ root: 0x1000, name: 'busy[7]', pid: 7, areas, runs }] };
}

async function serve(guest: TestGuest): Promise<{ url: string; close: () => void }> {
  const app = makeApp({
    source: guest,
    explain,
    token: TOKEN,
    listen: '127.0.0.1',
    signal: new AbortController().signal,
  });
  const listener = getRequestListener(app.fetch);
  const server = createServer((request, response) => void listener(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as { port: number };
  const close = () => {
    server.close();
    server.closeAllConnections();
  };
  return { url: `http://127.0.0.1:${port}/?token=${TOKEN}`, close };
}

/** Times in milliseconds of the processor, which other work of the machine does not lengthen as it lengthens the time between frames. */
interface ProcessorTimes {
  /** Of the page's main thread, for each frame. */
  readonly frames: readonly number[];
  /** All that the main thread did. */
  readonly mainMs: number;
  readonly layoutMs: number;
}

interface TraceEvent {
  readonly name: string;
  readonly ph: string;
  readonly pid: number;
  readonly tid: number;
  readonly tdur?: number;
  readonly args: { readonly name?: string };
}

function processorTimes(trace: Buffer): ProcessorTimes {
  const { traceEvents } = JSON.parse(trace.toString()) as { traceEvents: TraceEvent[] };
  const main = new Set<string>();
  for (const { name, pid, tid, args } of traceEvents) {
    if (name === 'thread_name' && args.name === 'CrRendererMain') main.add(`${pid} ${tid}`);
  }
  const timesOf = (wanted: string) =>
    traceEvents
      .filter(({ name, ph, pid, tid }) => name === wanted && ph === 'X' && main.has(`${pid} ${tid}`))
      .map(({ tdur = 0 }) => tdur / 1000);
  const sumOf = (wanted: string) => timesOf(wanted).reduce((sum, ms) => sum + ms, 0);
  const frames = timesOf('ProxyMain::BeginMainFrame').toSorted((a, b) => a - b);
  return { frames, mainMs: sumOf('ThreadControllerImpl::RunTask'), layoutMs: sumOf('Layout') };
}

/** Seconds of the processor that all processes of the browser have used, so with what draws without a GPU. */
async function browserSeconds(): Promise<number> {
  const browserSession = await browser.newBrowserCDPSession();
  const { processInfo } = await browserSession.send('SystemInfo.getProcessInfo');
  await browserSession.detach();
  return processInfo.reduce((sum, { cpuTime }) => sum + cpuTime, 0);
}

/** Frames of the browser, and what drawing took of them, while `work` works. */
async function measured(page: Page, work: () => Promise<void>) {
  await browser.startTracing(page, { categories: ['toplevel', 'cc', 'devtools.timeline'] });
  await page.evaluate(() => {
    const state = { frames: 0, longest: 0, last: performance.now(), isOver: false };
    const count = (now: number) => {
      state.frames++;
      state.longest = Math.max(state.longest, now - state.last);
      state.last = now;
      if (!state.isOver) requestAnimationFrame(count);
    };
    requestAnimationFrame(count);
    Object.assign(window, { frames: state });
    Object.assign(window.ptmon.drawn, { frames: 0, workMs: 0, longestMs: 0 });
  });
  const secondsBefore = await browserSeconds();
  const began = performance.now();
  await work();
  const seconds = (performance.now() - began) / 1000;
  const share = ((await browserSeconds()) - secondsBefore) / seconds;
  const { drawn, frames } = await page.evaluate(() => {
    const { frames } = window as unknown as { frames: { frames: number; longest: number; isOver: boolean } };
    frames.isOver = true;
    return { drawn: window.ptmon.drawn as unknown as { frames: number; workMs: number; longestMs: number }, frames };
  });
  const processor = processorTimes(await browser.stopTracing());
  return { seconds, perSecond: frames.frames / seconds, longestGapMs: frames.longest, drawn, processor, share };
}

function print(what: string, result: Awaited<ReturnType<typeof measured>>): void {
  const { seconds, perSecond, longestGapMs, drawn, processor, share } = result;
  const { frames, mainMs, layoutMs } = processor;
  const quantile = (share: number) => (frames[Math.floor((frames.length - 1) * share)] ?? 0).toFixed(1);
  const mean = drawn.workMs / Math.max(1, drawn.frames);
  process.stdout.write(
    `${what}: ${perSecond.toFixed(0)} frames/s (longest gap ${longestGapMs.toFixed(0)} ms); drawing takes ${mean.toFixed(1)} ms a frame ` +
      `(${((100 * mean) / FRAME_MS).toFixed(0)} % of one at 60/s), at most ${drawn.longestMs.toFixed(1)} ms\n` +
      `  processor time: the main thread is busy for ${(mainMs / seconds / 10).toFixed(0)} %, layout ${(layoutMs / seconds / 10).toFixed(1)} %; a frame takes ${quantile(0.5)} ms in the middle, ` +
      `${quantile(0.95)} ms in 95 %, ${quantile(1)} ms at most; ${frames.filter((ms) => ms > FRAME_MS).length} of ${frames.length} take longer than one at 60/s; ` +
      `the whole browser takes ${(share * 100).toFixed(0)} % of a processor\n`,
  );
}

const why = whyNoBrowser();
if (why !== undefined) throw new Error(why);
const browser = await launchBrowser();
const guest = new TestGuest(sceneOf(CELLS));
const { url, close } = await serve(guest);
const page = await browser.newPage({ viewport: { width: 1280, height: 800 } });
await page.goto(url);
await page.waitForSelector('canvas.cells');
while (guest.listeners.size === 0) await sleep(10);
await sleep(1000);
let timeMs = 0;
const oneChange = (vpn: number, isIn: boolean): Change => [0, vpn, 1, isIn ? [[vpn, 1, WRITABLE, vpn]] : []];

print(`${CELLS} cells, idle`, await measured(page, () => sleep(SECONDS * 1000)));
print(
  `${CELLS} cells, 2,000 of them change each 50 ms`,
  await measured(page, async () => {
    for (let round = 0; round < SECONDS * 20; round++) {
      const changes = Array.from({ length: 2000 }, (_, at) =>
        oneChange(0x1000 + ((round * 7919 + at * 49) % CELLS), round % 2 === 0),
      );
      guest.step({ timeMs: (timeMs += 50), changes, events: [], counts: { 'page-in': 2000 } });
      await sleep(50);
    }
  }),
);
print(
  `${CELLS} cells, all change each second, and flash`,
  await measured(page, async () => {
    for (let round = 0; round < SECONDS; round++) {
      const look = round % 2 === 0 ? WRITABLE : READ_ONLY;
      guest.step({
        timeMs: (timeMs += 1000),
        changes: [[0, 0x1000, CELLS, [[0x1000, CELLS, look, round]]]],
        events: [],
      });
      await sleep(1000);
    }
  }),
);
const lags: number[] = [];
const before = await page.evaluate(() => window.ptmon.model.timeline.steps.length);
const rate = 10_000;
let sent = 0;
print(
  `${rate} events a second`,
  await measured(page, async () => {
    const began = performance.now();
    while (performance.now() - began < SECONDS * 2000) {
      for (; sent < ((performance.now() - began) * rate) / 1000; sent++) {
        const vpn = 0x1000 + ((sent * 7919) % CELLS);
        const isIn = sent % 3 !== 0;
        guest.step({
          timeMs: timeMs + sent / 10,
          changes: [oneChange(vpn, isIn)],
          events: [
            { ...hostileEvent, kind: isIn ? 'page-in' : 'page-out', vpn, who: 'busy[7]:heap', why: 'PTE 0x0 → …867' },
          ],
        });
      }
      await sleep(5);
      if (sent % 1000 < 60) {
        const at = await page.evaluate(
          () => (window.ptmon.model.timeline.steps.at(-1) as { timeMs: number } | undefined)?.timeMs ?? 0,
        );
        lags.push(timeMs + sent / 10 - at);
      }
    }
  }),
);
await sleep(500);
const { counted, listed, messages } = await page.evaluate((first) => {
  const steps = (window.ptmon.model.timeline.steps as { events: unknown[]; omitted?: number }[]).slice(first);
  const listed = steps.reduce((sum, { events }) => sum + events.length, 0);
  return {
    listed,
    counted: steps.reduce((sum, { events, omitted = 0 }) => sum + events.length + omitted, 0),
    messages: steps.length,
  };
}, before);
lags.sort((a, b) => a - b);
process.stdout.write(
  `  ${sent} events came as ${messages} messages; ${counted} were counted, ${listed} listed; the page was ${lags[lags.length >> 1]?.toFixed(0)} ms ` +
    `behind in the middle, ${lags.at(-1)?.toFixed(0)} ms at most\n`,
);
await browser.close();
close();
