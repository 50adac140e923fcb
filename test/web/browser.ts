/** A real Chromium, and what a page of it shows, read from the pixels of its canvases. */
import { existsSync } from 'node:fs';
import { createServer } from 'node:http';
import process from 'node:process';
import { getRequestListener } from '@hono/node-server';
import { type Browser, chromium, type Page } from 'playwright-core';
import { onTestFinished } from 'vitest';
import { explain } from '../../src/cli/web/explain.ts';
import type { Kind } from '../../src/web/picture/look.ts';
import type { SceneSource } from '../../src/web/scene/scene-source.ts';
import { makeApp } from '../../src/web/server/app.ts';
import { TOKEN } from './scenes.ts';

/** Debian's, or the one that CHROMIUM names. */
const PATHS = [process.env['CHROMIUM'] ?? '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Why there is no browser; undefined where there is one. */
export function whyNoBrowser(): string | undefined {
  return PATHS.some((path) => existsSync(path))
    ? undefined
    : 'there is no Chromium: apt-get install chromium, or set CHROMIUM to its path';
}

/**
 * Returns whether there is no browser, and prints what is missing.
 *
 * @throws where PTMON_LIVE=required
 */
export function noBrowser(tests: string): boolean {
  const why = whyNoBrowser();
  if (why === undefined) return false;
  if (process.env['PTMON_LIVE'] === 'required') throw new Error(`${tests} cannot run: ${why}`);
  process.stderr.write(`LEFT OUT: ${tests}\n  ${why}\n`);
  return true;
}

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: PATHS.find((path) => existsSync(path))!, args: FLAGS });
}

/** Serves a source until the test ends. Returns the address of its page. */
export async function serveSource(source: SceneSource): Promise<string> {
  const over = new AbortController();
  const app = makeApp({ source, explain, token: TOKEN, listen: '127.0.0.1', signal: over.signal });
  const listener = getRequestListener(app.fetch);
  const server = createServer((request, response) => void listener(request, response));
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    over.abort();
    server.close();
    server.closeAllConnections();
  });
  return `http://127.0.0.1:${(server.address() as { port: number }).port}/?token=${TOKEN}`;
}

export interface OpenPage {
  readonly page: Page;
  /** What its scripts threw, and what its policy refused. */
  readonly faults: readonly string[];
}

export interface PageOptions {
  readonly width?: number;
  readonly height?: number;
  readonly scheme?: 'light' | 'dark';
}

/** Opens a page until the test ends. */
export async function openPage(browser: Browser, url: string, options: PageOptions = {}): Promise<OpenPage> {
  const { width = 1280, height = 800, scheme = 'light' } = options;
  const page = await browser.newPage({ viewport: { width, height }, colorScheme: scheme });
  onTestFinished(() => page.close());
  const faults: string[] = [];
  page.on('pageerror', (error) => faults.push(error.message));
  page.on('console', (message) => {
    if (message.type() === 'error') faults.push(message.text());
  });
  await page.goto(url);
  await page.waitForSelector('.app');
  return { page, faults };
}

/** The colours of src/web/page/draw/theme.ts in light, as a person who looks at the legend knows them. */
const COLOURS: Readonly<Record<Kind, string>> = {
  absent: '#e9ecf0',
  backed: '#9aa5b1',
  'read-only': '#7fb2e0',
  executable: '#ee9a3a',
  writable: '#2f9e6b',
  swapped: '#8e6ad0',
  'writable+executable': '#d1123f',
};
const SHADES = [
  [1, ''],
  [0.75, ' 2M'],
  [0.55, ' 1G'],
] as const;

/** Names of colours as a canvas has them: `127,178,224` → `read-only`. */
function namedColours(): Map<string, string> {
  const names = new Map<string, string>();
  for (const [kind, hex] of Object.entries(COLOURS)) {
    for (const [shade, size] of SHADES) {
      const parts = [1, 3, 5].map((at) => Math.round(Number.parseInt(hex.slice(at, at + 2), 16) * shade));
      if (kind !== 'absent' || size === '') names.set(parts.join(','), kind + size);
    }
  }
  return names;
}

/** What the cells of the shown areas are, by page number; absent ones left out. A colour that is none of the legend's is returned as it is. */
export async function shownPages(page: Page): Promise<Map<number, string>> {
  const cells = await page.evaluate(() => {
    const found: [number, string][] = [];
    for (const section of document.querySelectorAll<HTMLElement>('section.area')) {
      const canvas = section.querySelector('canvas')!;
      const context = canvas.getContext('2d')!;
      const { data, width } = context.getImageData(0, 0, canvas.width, canvas.height);
      const [start, cellPages] = [Number(section.dataset['start']), Number(section.dataset['cellPages'])];
      const count = Number(canvas.dataset['cells']);
      const ratio = canvas.width / Number.parseFloat(canvas.style.width);
      const pitch = Number(canvas.dataset['pitch']) * ratio;
      const columns = Math.round(width / pitch);
      for (let cell = 0; cell < count; cell++) {
        const x = Math.floor(((cell % columns) + 0.4) * pitch);
        const y = Math.floor((Math.floor(cell / columns) + 0.4) * pitch);
        const at = 4 * (y * width + x);
        found.push([start + cell * cellPages, data.slice(at, at + 3).join(',')]);
      }
    }
    return found;
  });
  const names = namedColours();
  return new Map(
    cells.map(([vpn, colour]) => [vpn, names.get(colour) ?? colour] as const).filter(([, name]) => name !== 'absent'),
  );
}

/** The same pages as lines of `ptmon map --json` have them. */
export function mappedPages(jsonl: string): Map<number, string> {
  const pages = new Map<number, string>();
  for (const line of jsonl.trim().split('\n')) {
    const range = JSON.parse(line) as {
      kind: string;
      va: string;
      pages: number;
      rights: { writable: boolean; noExecute: boolean };
      sizes: { pageSize: number; pages: number }[];
    };
    if (range.kind !== 'range') continue;
    if (range.sizes.length !== 1) throw new Error(`a range of several sizes: ${line}; ask with --runs`);
    const { writable, noExecute } = range.rights;
    const kind = writable ? (noExecute ? 'writable' : 'writable+executable') : noExecute ? 'read-only' : 'executable';
    const size = range.sizes[0]!.pageSize;
    const name = kind + (size >= 2 ** 30 ? ' 1G' : size >= 2 ** 21 ? ' 2M' : '');
    for (let at = 0; at < range.pages; at++) pages.set(Number(range.va) / 4096 + at, name);
  }
  return pages;
}

export interface ShownEvent {
  readonly kind: string;
  readonly who: string;
  readonly address: string;
}

/** The list of events, the newest first. */
export function shownEvents(page: Page): Promise<ShownEvent[]> {
  return page.$$eval('.stream button', (rows) =>
    rows.map((row) => ({
      kind: row.querySelector('.sign')!.getAttribute('aria-label')!,
      who: row.querySelector('.who')!.textContent!,
      address: row.querySelector('code')!.textContent!,
    })),
  );
}
