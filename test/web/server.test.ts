import { fileURLToPath } from 'node:url';
import type { Hono } from 'hono';
import { beforeAll, describe, expect, test } from 'vitest';
import { openFiles } from '../../src/cli/web/open-scene.ts';
import { explain } from '../../src/cli/web/explain.ts';
import type { Scene } from '../../src/web/picture/scene.ts';
import type { SpaceState } from '../../src/web/picture/timeline.ts';
import type { SceneSource } from '../../src/web/scene/scene-source.ts';
import { makeApp } from '../../src/web/server/app.ts';
import { run } from '../cli/run.ts';
import { fileSource, HOSTILE, hostileEvent, hostileScene, TestGuest, TOKEN } from './scenes.ts';

const TRACE = fileURLToPath(new URL('../../traces/huge.trace', import.meta.url));

function appOf(source: SceneSource, listen = '127.0.0.1'): Hono {
  return makeApp({ source, explain, token: TOKEN, listen, signal: new AbortController().signal });
}

/** Asks as a browser does, at 127.0.0.1:8080. */
function ask(app: Hono, path: string, headers: Record<string, string> = {}, method = 'GET') {
  return app.request(`http://127.0.0.1:8080${path}`, { method, headers: { host: '127.0.0.1:8080', ...headers } });
}

const BEARER = { authorization: `Bearer ${TOKEN}` };

describe('who may ask', () => {
  const app = () => appOf(fileSource(hostileScene()));

  test.each(['/', '/api/scene', '/api/frames', '/api/walk?root=0x0&va=0x0', '/events', '/metrics', '/api/stream'])(
    '%s wants the token',
    async (path) => {
      const withWrong = path + (path.includes('?') ? '&' : '?');
      expect((await ask(app(), path)).status).toBe(401);
      expect((await ask(app(), `${withWrong}token=${TOKEN}x`)).status).toBe(401);
      expect((await ask(app(), path, { authorization: 'Bearer wrong' })).status).toBe(401);
      expect((await ask(app(), `${withWrong}token=${TOKEN}`)).status).not.toBe(401);
      expect((await ask(app(), path, BEARER)).status).not.toBe(401);
    },
  );

  test.each([
    ['localhost:8080', 200],
    ['127.0.0.1:8080', 200],
    ['192.168.1.7:8080', 200],
    ['[::1]:8080', 200],
    ['vm-host.example:8080', 421],
    ['evil.example', 421],
    ['127.0.0.1.evil.example:8080', 421],
    ['', 421],
  ])('as Host %s: %i', async (host, status) => {
    expect((await ask(app(), '/api/scene', { ...BEARER, host })).status).toBe(status);
  });

  test('a name that it was told to listen on is its own', async () => {
    const named = appOf(fileSource(hostileScene()), 'vm-host.example');
    expect((await ask(named, '/api/scene', { ...BEARER, host: 'vm-host.example:8080' })).status).toBe(200);
  });

  test.each([
    [{ origin: 'http://127.0.0.1:8080' }, 200],
    [{ origin: 'http://evil.example' }, 403],
    [{ origin: 'https://127.0.0.1:8080' }, 403],
    [{ origin: 'null' }, 403],
    [{ 'sec-fetch-site': 'same-origin' }, 200],
    [{ 'sec-fetch-site': 'cross-site' }, 403],
  ])('with %o: %i', async (headers, status) => {
    expect((await ask(app(), '/api/scene', { ...BEARER, ...headers })).status).toBe(status);
  });

  test('the health needs no token and says nothing of the guest', async () => {
    const response = await ask(app(), '/healthz');
    expect([response.status, await response.json()]).toEqual([200, { status: 'ok' }]);
  });
});

describe('the page', () => {
  test('lets no script run but its own, and shows names as text', async () => {
    const response = await ask(appOf(fileSource(hostileScene())), '/', BEARER);
    expect(response.headers.get('content-security-policy')).toContain("script-src 'self'");
    const html = await response.text();
    expect(html).not.toContain('<img');
    expect(html.match(/<script/g)).toHaveLength(1);
  });

  test('has its script and its style', async () => {
    const app = appOf(fileSource(hostileScene()));
    expect((await (await ask(app, '/app.js')).text()).length).toBeGreaterThan(50_000);
    expect(await (await ask(app, '/app.css')).text()).toContain('.uplot');
  });
});

describe('a trace', () => {
  let source: SceneSource;
  let app: Hono;
  beforeAll(async () => {
    source = await openFiles([TRACE], {}, new AbortController().signal);
    app = appOf(source);
  });

  test('/events is what ptmon replay --json prints', async () => {
    const { stdout } = await run(['replay', TRACE, '--json']);
    expect(await (await ask(app, '/events', BEARER)).text()).toBe(stdout);
  });

  test('its steps have the events of the replay', async () => {
    const { stdout } = await run(['replay', TRACE, '--json']);
    const events = stdout
      .trim()
      .split('\n')
      .slice(1, -1)
      .map((line) => JSON.parse(line) as { kind: string; va: string; pages?: number; pa?: string; tags: string[] })
      .filter(({ kind }) => kind !== 'watch' && kind !== 'unwatch');
    const shown = source.scene().steps.flatMap((step) => step.events);
    expect(
      shown.map(({ kind, vpn, pages, gfn, who }) => [kind, `0x${(vpn * 4096).toString(16)}`, pages, gfn, who]),
    ).toEqual(
      events.map(({ kind, va, pages = 1, pa, tags }) => [
        kind,
        va,
        pages,
        pa === undefined ? -1 : Math.floor(Number(pa) / 4096),
        tags.join(':'),
      ]),
    );
  });

  test('after the last step, its spaces map what ptmon map prints', async () => {
    const { Timeline } = await import('../../src/web/picture/timeline.ts');
    const timeline = new Timeline(source.scene());
    timeline.seek(Infinity);
    const { root, map } = timeline.spaces[0]!;
    const { stdout } = await run(['map', TRACE, '--root', `0x${root.toString(16)}`, '--user', '--runs', '--json']);
    const lines = stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const ranges = lines.filter(({ kind }) => kind === 'range');
    const pages = (from: number, count: number, text: string) =>
      Array.from({ length: count }, (_, at) => `${from + at} ${text}`);
    const expected = ranges.flatMap(({ va, pages: count }) => pages(Number(va) / 4096, Number(count), ''));
    const found = map.runs.flatMap(([vpn, count]) => pages(vpn, count, ''));
    expect(expected.length).toBeGreaterThan(500);
    expect(found).toEqual(expected);
  });

  test('a page whose entry names its place on the swap device is shown as swapped, also if it never comes back', async () => {
    const { Timeline } = await import('../../src/web/picture/timeline.ts');
    const { isSwapped } = await import('../../src/web/picture/look.ts');
    const swap = fileURLToPath(new URL('../../traces/swap.trace', import.meta.url));
    const other = await openFiles([swap], {}, new AbortController().signal);
    const timeline = new Timeline(other.scene());
    const [{ map }, ...ended] = timeline.spaces as [SpaceState, ...SpaceState[]];
    const swappedPages = () =>
      map.runs.flatMap(([vpn, pages, look]) => (isSwapped(look) ? [[vpn, pages] as const] : []));
    timeline.seek(Infinity);
    // Of the 1024 pages of its range, 256 were written to again; the rest is on the device.
    const [STAGE, RETURNED, PAGES] = [0x1_0000_0000, 256, 1024];
    const swapped = swappedPages().flatMap(([vpn, pages]) => Array.from({ length: pages }, (_, at) => vpn + at));
    const inStage = swapped.filter((vpn) => vpn >= STAGE && vpn < STAGE + PAGES);
    expect(inStage).toEqual(Array.from({ length: PAGES - RETURNED }, (_, at) => STAGE + RETURNED + at));
    // What a process had there is gone with it.
    expect(ended.map((space) => space.map.runs)).toEqual(ended.map(() => []));
    // They went one after the other, and none was on the device before.
    timeline.seek(timeline.countAt(1900));
    expect(swappedPages()).toEqual([]);
  });

  test('a walk is what ptmon translate says, at the end and before', async () => {
    const { root } = source.scene().spaces[0]!;
    const path = `/api/walk?root=0x${root.toString(16)}&va=0x400000`;
    const answer = (await (await ask(app, path, BEARER)).json()) as {
      lines: string[];
      translation: { translates: boolean };
    };
    const { stdout } = await run(['translate', TRACE, '0x400000', '--root', `0x${root.toString(16)}`]);
    expect(answer.translation.translates).toBe(true);
    for (const line of answer.lines) expect(stdout).toContain(line);
    const late = source
      .scene()
      .steps.flatMap(({ timeMs, events }) =>
        events.filter(({ kind }) => kind === 'page-in').map(({ vpn }) => ({ timeMs, vpn })),
      )[0]!;
    const walkAt = async (atMs: number) =>
      (
        (await (
          await ask(
            app,
            `/api/walk?root=0x${root.toString(16)}&va=0x${(late.vpn * 4096).toString(16)}&at=${atMs}`,
            BEARER,
          )
        ).json()) as typeof answer
      ).translation.translates;
    expect([await walkAt(0), await walkAt(late.timeMs)]).toEqual([false, true]);
  });

  test.each([
    ['/api/walk?root=12&va=0x0', 400, 'root 12: give a hexadecimal number, as 0x7f0012345000'],
    ['/api/walk?root=0x0', 400, 'va undefined: give a hexadecimal number, as 0x7f0012345000'],
    ['/api/walk?root=0x0&va=0x0&at=-1', 400, 'at -1: give milliseconds'],
    ['/api/stream', 400, 'a file has no stream: read /api/scene'],
  ])('%s: %i', async (path, status, message) => {
    const response = await ask(app, path, BEARER);
    expect([response.status, await response.json()]).toEqual([status, { error: { code: 'bad-argument', message } }]);
  });

  test('/metrics counts its events', async () => {
    const text = await (await ask(app, '/metrics', BEARER)).text();
    const { steps } = source.scene() as Scene;
    const count = steps.flatMap(({ events }) => events).filter(({ kind }) => kind === 'page-in').length;
    expect(text).toContain(`ptmon_events_total{kind="page-in"} ${count}\n`);
    expect(text).toContain('ptmon_up 1\n');
  });
});

describe('a live guest', () => {
  test('a page gets the scene, then steps; those that it is too slow for come as one', async () => {
    const guest = new TestGuest();
    const response = await ask(appOf(guest), '/api/stream', BEARER);
    const reader = response.body!.getReader();
    let text = '';
    const until = async (wanted: string) => {
      while (!text.includes(wanted)) {
        const { value, done } = await reader.read();
        if (done) throw new Error(`the stream has ended without ${wanted}: ${text}`);
        text += new TextDecoder().decode(value);
      }
    };
    await until('event: processes');
    for (let at = 0; at < 10_000; at++) {
      guest.step({ timeMs: at, changes: [[0, 0x1000 + (at % 64), 1, []]], events: [{ ...hostileEvent, vpn: at }] });
    }
    guest.end('the guest has ended');
    await until('event: end');
    const steps = [...text.matchAll(/event: step\ndata: (.*)\n/g)].map(
      ([, data]) =>
        JSON.parse(data!) as {
          events: unknown[];
          omitted?: number;
          changes: unknown[];
          counts: Record<string, number>;
        },
    );
    const sum = (of: (step: (typeof steps)[number]) => number) => steps.reduce((all, step) => all + of(step), 0);
    expect(sum(({ events, omitted = 0 }) => events.length + omitted)).toBe(10_000);
    expect(sum(({ counts }) => counts['page-in'] ?? 0)).toBe(10_000);
    expect(steps.length).toBeLessThan(10);
    expect(sum(({ changes }) => changes.length)).toBeLessThanOrEqual(64 * steps.length);
    await expect.poll(() => guest.listeners.size).toBe(0);
  });

  test('follows a process on demand, and refuses what is no PID', async () => {
    const guest = new TestGuest();
    expect((await ask(appOf(guest), '/api/follow?pid=7', BEARER, 'POST')).status).toBe(200);
    expect((await ask(appOf(guest), '/api/follow?pid=x', BEARER, 'POST')).status).toBe(400);
    expect((await ask(appOf(guest), '/api/follow?pid=7', BEARER)).status).toBe(404);
    expect(guest.followed).toEqual([7]);
  });

  test('a hostile name stays within its label in /metrics', async () => {
    const text = await (await ask(appOf(new TestGuest()), '/metrics', BEARER)).text();
    const quoted = HOSTILE.replaceAll('"', '\\"');
    expect(text).toContain(`ptmon_process_memory_bytes{pid="7",comm="${quoted}",state="resident"} 49152\n`);
  });
});

describe('ptmon serve refuses', () => {
  test.each([
    [['serve', 'missing.core'], 3, 'missing.core does not exist'],
    [['serve'], 2, 'no source: give the path of a trace, a dump or an archive, or --vm of a live guest'],
    [['serve', TRACE, TRACE], 2, 'is a trace: only dumps can be compared; give a trace alone'],
    [['serve', TRACE, '--pid', '7'], 2, '--pid, --comm and --root are for a dump or a live guest'],
    [['serve', TRACE, '--mode', 'exact'], 2, '--mode is for a live guest: leave it out with a file'],
    [['serve', TRACE, '--token', 'short'], 2, '--token: give at least 16 letters, digits, "-" and "_"'],
    [
      ['serve', TRACE, '--listen', '192.0.2.1'],
      2,
      '192.0.2.1:0 cannot be listened on: this host does not have this address',
    ],
    [['serve', '--qmp', '/nowhere/qmp'], 3, '/nowhere/qmp does not exist'],
    [['serve', '--qmp', '/nowhere/qmp', '--mode', 'exact'], 2, '--mode exact needs --gdb'],
    [['serve', '--qmp', '/nowhere/qmp', 'word'], 2, 'unexpected argument "word"'],
  ])('%j', async (args, code, message) => {
    const outcome = await run(args);
    expect(outcome.stderr.replaceAll(/\s+/g, ' ')).toContain(message);
    expect(outcome.stdout).toBe('');
    expect(outcome.code).toBe(code);
  });

  test('a port that another program uses', async () => {
    const { createServer } = await import('node:net');
    const other = createServer().listen(0, '127.0.0.1');
    await new Promise((resolve) => other.on('listening', resolve));
    const { port } = other.address() as { port: number };
    const outcome = await run(['serve', TRACE, '--port', String(port)]);
    other.close();
    expect(outcome.stderr.replaceAll(/\s+/g, ' ')).toContain(
      `127.0.0.1:${port} cannot be listened on: another program uses this port`,
    );
    expect(outcome.code).toBe(2);
  });
});
