import { describe, expect, test } from 'vitest';
import type { SourceEvent, TakeAtOnce } from '../../src/driver/driver.ts';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { openSession, type Session } from '../../src/session/session.ts';
import type { Sink } from '../../src/sinks/sink.ts';
import type { SessionOptions } from '../../src/session/options.ts';
import { short } from './recording-sink.ts';
import { commit, readFailed, ROOT, ScriptedDriver, vaOfPage } from './scripted-driver.ts';

type Taken = ReturnType<TakeAtOnce> | 'resumed';

/** A driver that hands over each batch at once, in an event of its own, and yields what is left of it. */
class HandingDriver extends ScriptedDriver {
  readonly taken: Taken[] = [];
  readonly #guest: Iterable<() => readonly SourceEvent[]>;

  constructor(guest: (driver: HandingDriver) => Iterable<() => readonly SourceEvent[]>) {
    super();
    this.#guest = guest(this);
  }

  override async *run(signal?: AbortSignal, takeAtOnce?: TakeAtOnce) {
    for (const step of this.#guest) {
      await new Promise(setImmediate);
      if (signal?.aborted === true) return;
      const batch = step();
      const taken = takeAtOnce?.(batch) ?? 'later';
      this.taken.push(taken);
      if (taken === 'run-on') continue;
      yield taken === 'later' ? batch : [];
      this.taken.push('resumed');
    }
  }
}

/** A sink that may lag, and what it was given; `[` where it begins to write, `]` where it is done. */
function lagging(wait: () => Promise<void> = async () => {}): Sink & { readonly heard: string[] } {
  const heard: string[] = [];
  const write = async (event: MonitorEvent) => {
    heard.push(`[${short(event)}`);
    await wait();
    heard.push(']');
  };
  return { mayLag: true, heard, write, end: () => {} };
}

async function watched(driver: HandingDriver, options: Partial<SessionOptions> = {}): Promise<Session> {
  const session = await openSession({ driver, paging: { mode: '4-level' }, ...options });
  await session.watch({ root: ROOT, va: vaOfPage(0), byteLength: 8 * 4096 });
  return session;
}

const twoPages = (driver: HandingDriver) => [
  () => driver.map(1, 5),
  () => driver.map(2, 6),
  () => [commit()],
  () => driver.map(1, 0),
];

describe('a stop that is handled in the turn in which it is reported', () => {
  test('sinks get the same events, with times, and the guest runs on without a promise', async () => {
    const driver = new HandingDriver(twoPages);
    const events: MonitorEvent[] = [];
    const sink: Sink = { mayLag: true, write: (event) => void events.push(event), end: () => {} };
    const session = await watched(driver, { sinks: [sink] });
    const summary = await session.run();
    expect(events.map(short)).toEqual(['+1', '+2', '-1']);
    expect(events.every(({ time }) => time !== undefined && time.us > 0)).toBe(true);
    expect(driver.taken).toEqual(['run-on', 'run-on', 'run-on', 'run-on']);
    expect(summary).toMatchObject({
      ended: 'finished',
      writes: 3,
      commits: 4,
      counts: { 'page-in': 2, 'page-out': 1 },
    });
  });

  test.each<[string, Partial<SessionOptions>]>([
    ['a sink that may want the guest stopped', { sinks: [{ write: () => {}, end: () => {} }] }],
    ['a handler of each batch', { onBatch: () => {} }],
  ])('is not for %s', async (_, options) => {
    const driver = new HandingDriver(twoPages);
    await (await watched(driver, options)).run();
    expect(driver.taken).not.toContain('run-on');
  });

  test('is not for who iterates the session: the guest is stopped in the body of the loop', async () => {
    const driver = new HandingDriver(twoPages);
    const events = [];
    for await (const event of await watched(driver)) events.push(short(event));
    expect(events).toEqual(['+1', '+2', '-1']);
    expect(driver.taken).not.toContain('run-on');
  });

  test('a sink that does not get on holds up the next stop, and no more', async () => {
    const driver = new HandingDriver(twoPages);
    let release = () => {};
    const sink = lagging(() => new Promise((resolve) => (release = resolve)));
    const running = (await watched(driver, { sinks: [sink] })).run();
    await expect.poll(() => driver.taken).toEqual(['run-on', 'later']);
    expect(sink.heard).toEqual(['[+1']);
    const releasing = setInterval(() => release(), 1);
    await running;
    clearInterval(releasing);
    expect(sink.heard).toEqual(['[+1', ']', '[+2', ']', '[-1', ']']);
  });

  test('a sink that fails ends the session although the guest runs', async () => {
    const driver = new HandingDriver((each) => ({
      *[Symbol.iterator]() {
        for (let page = 0; ; page = (page + 1) % 8) yield () => each.map(page, page + 16);
      },
    }));
    const session = await watched(driver, { sinks: [lagging(() => Promise.reject(new Error('full')))] });
    await expect(session.run()).rejects.toThrow('full');
    expect(session.summary()).toMatchObject({ ended: 'failed', failure: { message: 'full' } });
  });

  test('what fails, and what takes new tables, is left to the loop, which does the rest and no more', async () => {
    const PD_ENTRY = 0x3008;
    const driver = new HandingDriver((each) => [
      () => {
        each.failures.read.push(readFailed());
        return [...each.map(1, 5), ...each.map(2, 6)];
      },
      () => {
        each.ram.addPage(9);
        each.ram.writeU64(PD_ENTRY, 0x9007, 0);
        return [{ kind: 'write', vcpu: 0, view: 0, pa: PD_ENTRY, byteLength: 8 }, commit()];
      },
      () => [{ kind: 'missed', reason: 'stops merge', lost: 0 }],
      () => {
        each.set(3, 7);
        return [{ kind: 'missed', reason: 'stops merge', lost: 0 }];
      },
    ]);
    const sink = lagging();
    const session = await openSession({ driver, paging: { mode: '4-level' }, sinks: [sink] });
    await session.watch({ root: ROOT, va: vaOfPage(0), byteLength: 1024 * 4096 });
    const { writes, commits, resyncs, foundByResync } = await session.run();
    expect(sink.heard.filter((text) => text !== ']')).toEqual(['[+1', '[+2', '[+3']);
    expect(driver.taken).toEqual(['later', 'resumed', 'later', 'resumed', 'run-on', 'later', 'resumed']);
    expect({ writes, commits, resyncs, foundByResync }).toEqual({
      writes: 3,
      commits: 3,
      resyncs: 2,
      foundByResync: 1,
    });
  });
});
