import { describe, expect, test } from 'vitest';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import type { SourceEvent } from '../../src/driver/driver.ts';
import { openSession } from '../../src/session/index.ts';
import type { SessionOptions } from '../../src/session/options.ts';
import type { Session } from '../../src/session/session.ts';
import { eventWithin, spanOf } from '../../src/session/watch/watched-span.ts';
import type { Watch } from '../../src/session/watch/watch.ts';
import { Random } from '../oracle/random.ts';
import { RecordingSink, short } from './recording-sink.ts';
import { idle, ROOT, ScriptedDriver, type Step, vaOfPage } from './scripted-driver.ts';

const paging = { mode: '4-level' } as const;

type Script = readonly ((guest: ScriptedDriver) => readonly SourceEvent[] | Promise<readonly SourceEvent[]>)[];

function guestOf(script: Script): ScriptedDriver {
  const steps: Step[] = [];
  const guest = new ScriptedDriver(steps);
  steps.push(...script.map((step) => () => step(guest)));
  return guest;
}

async function open(guest: ScriptedDriver, options: Partial<SessionOptions> = {}): Promise<Session> {
  return openSession({ driver: guest, paging, ...options });
}

function pages(first: number, count: number, tag?: string) {
  return { root: ROOT, va: vaOfPage(first), byteLength: count * 4096, ...(tag !== undefined && { tag }) };
}

function page(at: number) {
  return { root: ROOT, va: vaOfPage(at) };
}

/** What a watch, or a session, says until it ends, or until `enough` has come. */
async function heardBy(source: AsyncIterable<MonitorEvent>, enough = Infinity): Promise<string[]> {
  const heard: string[] = [];
  if (enough === 0) return heard;
  for await (const event of source) {
    heard.push(short(event));
    if (heard.length === enough) break;
  }
  return heard;
}

const BUSY: Script = [
  (guest) => [...guest.map(1, 0x10), ...guest.map(2, 0x20)],
  (guest) => guest.map(9, 0x90),
  (guest) => guest.map(1, 0),
  (guest) => [...guest.map(2, 0x21), ...guest.map(9, 0)],
];

describe('who has the guest run on', () => {
  test('a script that reads one watch and nothing else hears its events, to the end of the guest', async () => {
    const guest = guestOf(BUSY);
    const session = await open(guest);
    const watch = await session.watch(page(1));
    await session.watch(pages(0, 16));
    expect(await heardBy(watch)).toEqual(['+1', '-1']);
    expect(guest.log.at(-1)).toBe('close, 0 protected');
    expect(session.summary()).toMatchObject({ ended: 'finished', counts: { 'page-in': 4, 'page-out': 3 } });
  });

  test('the guest is stopped while the body of that loop works', async () => {
    const guest = guestOf(BUSY);
    await using session = await open(guest);
    const watch = await session.watch(page(1));
    for await (const event of watch) {
      const before = guest.advanced;
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(guest.advanced).toBe(before);
      if (event.kind === 'page-out') break;
    }
    expect(guest.advanced).toBe(3);
  });

  test('it runs before anybody reads no further than the session is read', async () => {
    const guest = guestOf(BUSY);
    await using session = await open(guest);
    const watch = await session.watch(pages(0, 16));
    const events = session[Symbol.asyncIterator]();
    const heard = heardBy(watch);
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(guest.advanced).toBe(0);
    await events.next();
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(guest.advanced).toBe(1);
    await session.close();
    expect(await heard).toEqual(['+1']);
  });

  test.each([
    ['run, then the watches', true],
    ['the watches, then run', false],
  ])('watches hear what the session says while it is run: %s', async (_name, runsFirst) => {
    const sink = new RecordingSink();
    const session = await open(guestOf(BUSY), { sinks: [sink] });
    const [one, all] = [await session.watch(page(9)), await session.watch(pages(0, 16))];
    const running = runsFirst ? session.run() : undefined;
    const heard = Promise.all([heardBy(one), heardBy(all)]);
    // An event may be on its way to a watch when the session gets its consumer.
    const summary = await (running ?? session.run());
    expect(await heard).toEqual([['+9', '-9'], sink.heard]);
    expect(summary.counts).toMatchObject({ 'page-in': 4, 'page-out': 3 });
  });

  test('a session that is iterated after its watches began hears every event that comes from then on', async () => {
    const session = await open(guestOf(BUSY));
    const watch = await session.watch(pages(0, 16));
    const heard = heardBy(watch);
    expect(await heardBy(session)).toEqual(await heard);
  });

  test('several watches, each with a reader of its own pace', async () => {
    const session = await open(guestOf(BUSY));
    const watches = [await session.watch(page(1)), await session.watch(page(2)), await session.watch(pages(8, 4))];
    const slowly = async (watch: Watch, ms: number): Promise<string[]> => {
      const heard: string[] = [];
      for await (const event of watch) {
        await new Promise((resolve) => setTimeout(resolve, ms));
        heard.push(short(event));
      }
      return heard;
    };
    expect(await Promise.all(watches.map((watch, at) => slowly(watch, at * 3)))).toEqual([
      ['+1', '-1'],
      ['+2', '-2', '+2'],
      ['+9', '-9'],
    ]);
  });

  test('a body that waits for another watch gets its event', async () => {
    const session = await open(guestOf(BUSY));
    const [one, nine] = [await session.watch(page(1)), await session.watch(page(9))];
    const heard: string[] = [];
    for await (const event of one) {
      heard.push(short(event));
      if (event.kind === 'page-in') heard.push(...(await heardBy(nine, 1)));
    }
    expect(heard).toEqual(['+1', '+9', '-1']);
  });
});

describe('what a watch keeps', () => {
  test('nothing while nobody iterates it, and nothing of what came before', async () => {
    const session = await open(guestOf(BUSY));
    const [watch, other] = [await session.watch(pages(0, 16)), await session.watch(page(1))];
    expect(await heardBy(other, 1)).toEqual(['+1']);
    expect(await heardBy(watch, 1)).toEqual(['+2']);
    // That loop was left; what came since is in no iterator.
    expect(await heardBy(other, 1)).toEqual(['-1']);
    expect(await heardBy(watch)).toEqual(['-2', '+2', '-9']);
  });

  test('at most maxUnread events: then the reader is told how many were dropped, and nobody else is', async () => {
    const session = await open(
      guestOf(Array.from({ length: 20 }, (_, at) => (g) => g.map(1, at % 2 === 0 ? 0x10 : 0))),
    );
    const slow = await session.watch({ ...page(1), maxUnread: 5 });
    const quick = await session.watch(page(1));
    const unread = slow[Symbol.asyncIterator]();
    const heard = await heardBy(quick);
    expect(heard).toHaveLength(20);
    for (let at = 0; at < 5; at++) expect(short((await unread.next()).value!)).toBe(heard[at]);
    await expect(unread.next()).rejects.toMatchObject({
      code: 'events-dropped',
      message: expect.stringMatching(/^15 /),
    });
    expect(await unread.next()).toEqual({ done: true, value: undefined });
  });

  test.each([0, -1, Number.NaN])('maxUnread of %s is refused, and nothing is watched', async (maxUnread) => {
    await using session = await open(guestOf([]));
    await expect(session.watch({ ...page(1), maxUnread })).rejects.toMatchObject({ code: 'bad-argument' });
    expect(session.monitor.monitoredTables()).toBe(0);
  });

  test.each<[string, object | undefined | null, RegExp]>([
    ['a misspelt field', { ...page(1), byteLenght: 4096 }, /watch has no option byteLenght: only view, root, va, /],
    ['nothing', undefined, /the request undefined is not an object/],
    ['null', null, /the request null is not an object/],
  ])('%s is refused, and nothing is watched', async (_, request, message) => {
    await using session = await open(guestOf([]));
    await expect(session.watch(request as never)).rejects.toMatchObject({
      code: 'bad-argument',
      message: expect.stringMatching(message),
    });
    expect(session.monitor.monitoredTables()).toBe(0);
  });
});

describe('R1 stop releases what the watch retains, and nothing else', () => {
  const overlaps = [
    ['the same address', page(3), page(3)],
    ['an address and its range', page(3), pages(2, 4)],
    ['a range and an address of it', pages(2, 4), page(3)],
    ['ranges', pages(0, 4), pages(2, 4)],
    ['tagged alike', pages(0, 4, 'a'), pages(2, 4, 'a')],
    ['tagged otherwise', pages(0, 4, 'a'), pages(2, 4, 'b')],
    ['tagged and not', { ...page(3), tag: 'a' }, page(3)],
  ] as const;

  test.each(overlaps)('%s', async (_name, first, second) => {
    await using session = await open(guestOf([]));
    const one = await session.watch(first);
    const before = session.monitor.dump();
    const other = await session.watch(second);
    await other.stop();
    expect(session.monitor.dump()).toEqual(before);
    expect([one.isActive, other.isActive, other.state()]).toEqual([true, false, undefined]);
    await other.stop();
    expect(session.monitor.dump()).toEqual(before);
    await one.stop();
    expect(session.monitor.dump()).toMatchObject({ addresses: [], ranges: [], tables: [] });
  });

  test('in any order, whatever overlaps: what is left is what was there without it', async () => {
    for (let seed = 1; seed <= 60; seed++) {
      const random = new Random(seed);
      await using session = await open(guestOf([]));
      const tagOf = () => (['a', 'b', undefined] as const)[random.below(3)];
      const requestOf = () => {
        const tag = tagOf();
        const first = random.below(8);
        const base = random.below(2) === 0 ? page(first) : pages(first, 1 + random.below(6));
        return { ...base, ...(tag !== undefined && { tag }) };
      };
      const requests = Array.from({ length: 6 }, requestOf);
      const watches: Watch[] = [];
      for (const request of requests) watches.push(await session.watch(request));
      const kept = requests.filter((_, at) => at % 2 === 0);
      for (const [at, watch] of watches.entries()) if (at % 2 === 1) await watch.stop();
      await using fresh = await open(guestOf([]));
      for (const request of kept) await fresh.watch(request);
      const references = (of: Session) =>
        Array.from({ length: 14 }, (_, at) => of.monitor.state(page(at))).map((state) => [
          state?.references,
          [...(state?.tags ?? [])].sort(),
        ]);
      expect(references(session), `seed ${seed}`).toEqual(references(fresh));
    }
  });

  test('what the monitor has released already is not released again', async () => {
    const releases: readonly (readonly [string, (session: Session) => unknown])[] = [
      ['unmonitorAll', ({ monitor }) => monitor.unmonitorAll()],
      ['unmonitorView', ({ monitor }) => monitor.unmonitorView(0)],
      ['rootGone', ({ monitor }) => monitor.rootGone(ROOT)],
      ['unmonitorByForce', ({ monitor }) => [1, 2, 3].forEach((at) => monitor.unmonitorByForce(page(at)))],
    ];
    for (const [name, release] of releases) {
      await using session = await open(guestOf([]));
      const watches = [await session.watch(page(2)), await session.watch(pages(1, 3))];
      release(session);
      expect(
        watches.map(({ isActive }) => isActive),
        name,
      ).toEqual([false, false]);
      // Another caller watches the same again.
      session.monitor.monitor(page(2));
      session.monitor.monitorRange(pages(1, 3));
      const before = session.monitor.dump();
      for (const watch of watches) await watch.stop();
      expect(session.monitor.dump(), name).toEqual(before);
    }
  });

  test('a page that was taken out of a range by force stays the next caller’s', async () => {
    await using session = await open(guestOf([]));
    const watch = await session.watch(pages(1, 4));
    session.monitor.unmonitorByForce(page(2));
    session.monitor.monitorRange(pages(2, 1));
    expect(watch.isActive).toBe(true);
    await watch.stop();
    expect(session.monitor.dump().ranges).toMatchObject([{ va: vaOfPage(2), byteLength: 4096n, references: 1 }]);
  });

  test('in the body of the loop: it ends the loop, and the session goes on', async () => {
    const session = await open(guestOf(BUSY));
    const watch = await session.watch(page(1));
    const rest = await session.watch(page(9));
    const heard: string[] = [];
    for await (const event of watch) {
      heard.push(short(event));
      await watch.stop();
    }
    expect(heard).toEqual(['+1']);
    expect(await heardBy(watch)).toEqual([]);
    expect(await heardBy(rest)).toEqual(['+9', '-9']);
  });

  test('await using', async () => {
    await using session = await open(guestOf([]));
    {
      await using watch = await session.watch(pages(0, 4));
      expect(watch.state(vaOfPage(2))).toMatchObject({ pa: null, references: 1 });
    }
    expect(session.monitor.monitoredTables()).toBe(0);
  });
});

describe('how its iterators end', () => {
  test('a root that is gone says its last events first', async () => {
    const guest: ScriptedDriver = new ScriptedDriver([
      () => [...guest.map(1, 0x10), ...guest.map(5, 0x50)],
      () => [{ kind: 'root-gone', root: ROOT }],
      idle,
    ]);
    await using session = await open(guest, { kinds: ['root-gone'] });
    const [one, range] = [await session.watch(page(1)), await session.watch(pages(4, 4))];
    expect(await Promise.all([heardBy(one), heardBy(range)])).toEqual([
      ['+1', '-1', 'root-gone 1'],
      ['+5', '-5', 'root-gone 4'],
    ]);
    expect([one.isActive, range.state()]).toEqual([false, undefined]);
  });

  test('what ends the session is thrown to every reader, once', async () => {
    const guest = guestOf([(g) => g.map(1, 0x10), () => Promise.reject(new Error('the guest is lost'))]);
    const session = await open(guest);
    const [one, other] = [await session.watch(page(1)), await session.watch(page(1))];
    const readers = [one, other].map((watch) => watch[Symbol.asyncIterator]());
    for (const reader of readers) expect(short((await reader.next()).value!)).toBe('+1');
    const outcomes = await Promise.allSettled(readers.map((reader) => reader.next()));
    expect(outcomes).toMatchObject([
      { reason: { message: 'the guest is lost' } },
      { reason: { message: 'the guest is lost' } },
    ]);
    expect(await readers[0]!.next()).toEqual({ done: true, value: undefined });
    expect(session.summary().ended).toBe('failed');
  });

  test.each([
    ['is closed', (session: Session) => session.close()],
    ['is aborted', async (_: Session, stop: AbortController) => stop.abort()],
  ])('the session %s while a reader waits', async (_name, end) => {
    const stop = new AbortController();
    const guest: ScriptedDriver = new ScriptedDriver([() => guest.map(1, 0x10), idle]);
    const session = await open(guest, { signal: stop.signal });
    const watch = await session.watch(page(1));
    const heard = heardBy(watch);
    await new Promise((resolve) => setTimeout(resolve, 5));
    await end(session, stop);
    expect(await heard).toEqual(['+1']);
    expect(guest.log.at(-1)).toBe('close, 0 protected');
    await watch.stop();
    expect(watch.isActive).toBe(false);
    await expect(session.watch(page(1))).rejects.toMatchObject({ code: 'closed' });
  });
});

describe('an event as a watch hears it', () => {
  test('a run of pages is cut to the range, and addresses within a page are watches of their own', async () => {
    await using session = await open(guestOf([]));
    const { paging: full } = session.monitor;
    const run = { kind: 'page-in', view: 0, root: ROOT, va: 0x2000n, pa: 0x12000, pageSize: 4096, pages: 4 } as const;
    const event = { ...run, tags: [], vcpu: 0, cause: null } as unknown as MonitorEvent;
    const within = (request: Parameters<typeof spanOf>[1], said = event) => {
      const own = eventWithin(spanOf(full, request), said);
      return own && 'pages' in own && 'pa' in own ? [own.va, own.pa, own.pages] : own;
    };
    expect(within(pages(2, 4))).toEqual([0x2000n, 0x12000, 4]);
    expect(within(pages(3, 2))).toEqual([0x3000n, 0x13000, 2]);
    expect(within(pages(0, 3))).toEqual([0x2000n, 0x12000, 1]);
    expect(within({ root: ROOT, va: 0x5fff, byteLength: 2 })).toEqual([0x5000n, 0x15000, 1]);
    expect(within(pages(6, 2))).toBeUndefined();
    expect(within(page(4))).toEqual([0x4000n, 0x14000, 1]);
    expect(within({ root: ROOT, va: 0x4008 })).toBeUndefined();
    expect(within({ ...pages(2, 4), view: 1 })).toBeUndefined();
    expect(within({ ...pages(2, 4), root: 0x9000 })).toBeUndefined();
    const inner = { ...event, va: 0x2008n, pages: 1 } as MonitorEvent;
    expect(within({ root: ROOT, va: 0x2008 }, inner)).toEqual([0x2008n, 0x12000, 1]);
    expect(within(pages(2, 4), inner)).toBeUndefined();
  });

  test('the state of an address that it does not cover is refused', async () => {
    await using session = await open(guestOf([]));
    const watch = await session.watch(pages(1, 2));
    expect(() => watch.state(vaOfPage(3))).toThrow(
      expect.objectContaining({ code: 'bad-argument', facts: { va: 0x3000n } }),
    );
  });
});
