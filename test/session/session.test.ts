import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../src/core/error.ts';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { openSession } from '../../src/session/index.ts';
import type { SessionOptions } from '../../src/session/options.ts';
import type { Session } from '../../src/session/session.ts';
import { RecordingSink, short } from './recording-sink.ts';
import { commit, idle, makeRemote, readFailed, ROOT, ScriptedDriver, type Step, vaOfPage } from './scripted-driver.ts';

const paging = { mode: '4-level' } as const;

/** A session that watches the first 16 pages. */
async function open(driver: ScriptedDriver, options: Partial<SessionOptions> = {}): Promise<Session> {
  const session = await openSession({ driver, paging, ...options });
  await session.watch({ root: ROOT, va: 0n, byteLength: 16 * 4096, tag: 'low' });
  return session;
}

function scripted(script: (driver: ScriptedDriver) => Step[]): ScriptedDriver {
  const steps: Step[] = [];
  const driver = new ScriptedDriver(steps);
  steps.push(...script(driver));
  return driver;
}

async function heardBy(session: Session): Promise<string[]> {
  const heard: string[] = [];
  for await (const event of session) heard.push(short(event));
  return heard;
}

describe('the straight line', () => {
  test('a write is said when its vCPU commits, to sinks and iterator alike', async () => {
    const driver = scripted((guest) => [
      () => [guest.set(5, 0x50, 1)],
      () => [guest.set(6, 0x60, 0), commit(0)],
      () => [commit(1)],
      () => guest.map(5, 0),
    ]);
    const sinks = [new RecordingSink(), new RecordingSink()];
    const session = await open(driver, { sinks });
    // Page 5 is in memory when vCPU 0 is processed, but vCPU 1 has not committed it.
    expect(await heardBy(session)).toEqual(['+6', '+5', '-5']);
    for (const sink of sinks) expect(sink.heard).toEqual(['+6', '+5', '-5']);
  });

  test('events carry what the monitor says', async () => {
    const session = await open(scripted((guest) => [() => guest.map(5, 0x50, 3)]));
    const events: MonitorEvent[] = [];
    for await (const event of session) events.push(event);
    expect(events).toMatchObject([{ kind: 'page-in', va: 0x5000n, pa: 0x50000, tags: ['low'], vcpu: 3 }]);
  });

  test('sinks are told what they will hear', async () => {
    const sink = new RecordingSink();
    await using _session = await open(
      scripted(() => []),
      { sinks: [sink], kinds: ['protection'] },
    );
    expect(sink.info).toEqual({ source: 'script', mode: '4-level', kinds: ['protection'] });
  });

  test('C10 missed writes are found by comparing, and losses are counted, never invented', async () => {
    const driver = scripted((guest) => [
      () => {
        guest.set(1, 0x10);
        guest.set(2, 0x20);
        return [{ kind: 'missed', reason: 'sampled', lost: 3 }];
      },
      () => [{ kind: 'missed', reason: 'dma', lost: 4 }],
      () => guest.map(3, 0x30),
    ]);
    const session = await open(driver);
    expect(await heardBy(session)).toEqual(['+1', '+2', '+3']);
    expect(session.statistics()).toMatchObject({ resyncs: 2, foundByResync: 2, lost: { known: 7, unknown: false } });
  });

  test('C10 an unknown number of losses stays unknown', async () => {
    const driver = scripted(() => [
      () => [
        { kind: 'missed', reason: 'reset', lost: 2 },
        { kind: 'missed', reason: 'reset', lost: null },
        { kind: 'missed', reason: 'reset', lost: 1 },
      ],
    ]);
    const session = await open(driver);
    await session.run();
    expect(session.statistics().lost).toEqual({ known: 3, unknown: true, reasons: ['reset'] });
  });

  test('R4 a root that is gone takes its pages out', async () => {
    const driver = scripted((guest) => [
      () => guest.map(5, 0x50),
      () => [{ kind: 'root-gone', root: ROOT }],
      () => guest.map(6, 0x60),
    ]);
    const session = await open(driver, { kinds: ['root-gone'] });
    expect(await heardBy(session)).toEqual(['+5', '-5', 'root-gone 0']);
  });

  test('everything is counted', async () => {
    const driver = scripted((guest) => [
      () => [guest.set(1, 0x10), guest.set(2, 0x20), commit()],
      () => guest.map(1, 0x11),
      () => [commit()],
    ]);
    const summary = await (await open(driver)).run();
    expect(summary).toEqual({
      ended: 'finished',
      counts: { 'page-in': 3, 'page-out': 1, protection: 0, restructure: 0, 'root-gone': 0 },
      writes: 3,
      commits: 3,
      resyncs: 0,
      foundByResync: 0,
      lost: { known: 0, unknown: false },
      faults: 0,
      retries: 0,
    });
  });
});

describe('back-pressure', () => {
  test('the guest advances only when events are taken', async () => {
    const driver = scripted((guest) => [
      () => [...guest.map(1, 0x10), ...guest.map(2, 0x20)],
      () => guest.map(3, 0x30),
      () => guest.map(4, 0x40),
    ]);
    const session = await open(driver);
    expect(driver.advanced).toBe(0);
    const seen: string[] = [];
    for await (const event of session) {
      await new Promise((resolve) => {
        setImmediate(resolve);
      });
      seen.push(`${short(event)} after ${driver.advanced}`);
    }
    expect(seen).toEqual(['+1 after 1', '+2 after 1', '+3 after 2', '+4 after 3']);
  });

  test('a slow sink holds the guest back', async () => {
    const driver = scripted((guest) => [() => guest.map(1, 0x10), () => guest.map(2, 0x20)]);
    const release: (() => void)[] = [];
    const sink = {
      write: () =>
        new Promise<void>((resolve) => {
          release.push(resolve);
        }),
      end: () => {},
    };
    const running = (await open(driver, { sinks: [sink] })).run();
    for (const advanced of [1, 2]) {
      await expect.poll(() => release.length).toBe(1);
      expect(driver.advanced).toBe(advanced);
      release.pop()?.();
    }
    expect((await running).counts['page-in']).toBe(2);
  });

  test('what is watched in the body of the loop is watched before the guest runs on', async () => {
    const far = 100;
    const driver = scripted((guest) => [() => guest.map(1, 0x10), () => guest.map(far, 0x20)]);
    const session = await open(driver);
    const seen: string[] = [];
    for await (const event of session) {
      seen.push(short(event));
      if (seen.length === 1) await session.watch({ root: ROOT, va: vaOfPage(far) });
    }
    expect(seen).toEqual(['+1', `+${far}`]);
  });

  test('onBatch comes after the batch and before the guest runs on', async () => {
    const driver = scripted((guest) => [() => guest.map(1, 0x10), () => [], () => guest.map(2, 0x20)]);
    const sink = new RecordingSink();
    const seen: string[] = [];
    const session = await open(driver, {
      sinks: [sink],
      onBatch: async (batch) => {
        await Promise.resolve();
        seen.push(`${batch.length} of ${driver.advanced}: ${sink.heard.join(' ')}`);
      },
    });
    await session.run();
    expect(seen).toEqual(['2 of 1: +1', '0 of 2: +1', '2 of 3: +1 +2']);
  });

  test('timers have their turn beside a source that never waits', async () => {
    const driver: ScriptedDriver = new ScriptedDriver(
      (function* endless(): Generator<Step> {
        for (;;) yield () => driver.map(1, (driver.advanced % 2) + 1);
      })(),
    );
    const session = await open(driver, { signal: AbortSignal.timeout(20) });
    expect((await session.run()).ended).toBe('stopped');
  });
});

describe('remote memory', () => {
  test('is fetched for watching and for processing, level by level', async () => {
    const driver = scripted((guest) => [
      () => {
        remote.forget();
        return guest.map(5, 0x50);
      },
    ]);
    const remote = makeRemote(driver);
    const session = await openSession({ driver, paging });
    await session.watch({ root: ROOT, va: vaOfPage(5) });
    expect(remote.fetches).toEqual([[0x1000], [0x2000], [0x3000], [0x4028]]);
    remote.fetches.length = 0;
    expect(await heardBy(session)).toEqual(['+5']);
    expect(remote.fetches).toEqual([[0x4028]]);
  });

  test('an abort during a fetch ends the session without an error', async () => {
    const stop = new AbortController();
    const driver = scripted((guest) => [() => guest.map(5, 0x50), () => guest.map(6, 0x60)]);
    const session = await open(driver, { signal: stop.signal });
    makeRemote(driver);
    driver.remote = {
      fetch: async (_addresses, signal) => {
        stop.abort();
        await Promise.resolve();
        signal?.throwIfAborted();
      },
    };
    // The monitor took the driver's memory as it was: it has to be told by the memory itself.
    driver.failures.read.push(new PtmonError('not-fetched', 'far away', { missing: [ROOT] }));
    expect((await session.run()).ended).toBe('stopped');
    expect(driver.log).toEqual(['run', 'stand still', 'close, 0 protected']);
  });

  test('a source without remote memory that lacks some fails', async () => {
    const driver = scripted((guest) => [() => guest.map(5, 0x50)]);
    const session = await open(driver);
    driver.failures.read.push(new PtmonError('not-fetched', 'far away', { missing: [ROOT] }));
    await expect(session.run()).rejects.toMatchObject({ code: 'not-fetched' });
  });
});

describe('C9 a source that fails in passing', () => {
  test.each([
    ['read', new PtmonError('read-failed', 'no')],
    ['protect', new PtmonError('protect-failed', 'no')],
  ] as const)('%s: the call is made again and nothing is lost', async (what, failure) => {
    const driver = scripted((guest) => [
      () => {
        driver.failures[what].push(failure, failure, failure);
        // A new table under the second directory entry: it is read, and has to be protected.
        guest.ram.writeU64(0x5000, 0x5_0007, 0);
        guest.ram.writeU64(0x3008, 0x5007, 0);
        return [{ kind: 'write', vcpu: 0, view: 0, pa: 0x3008, byteLength: 8 }, commit()];
      },
    ]);
    const session = await open(driver);
    await session.watch({ root: ROOT, va: vaOfPage(512) });
    expect(await heardBy(session)).toEqual(['+512']);
    expect(session.statistics().retries).toBe(3);
  });

  test('watching is made again too', async () => {
    const driver = scripted(() => []);
    driver.failures.protect.push(new PtmonError('protect-failed', 'no'));
    const session = await open(driver);
    expect(session.statistics().retries).toBe(1);
    expect(session.monitor.monitoredTables()).toBe(4);
    await session.close();
  });

  test('any other error is not taken for one', async () => {
    const driver = scripted((guest) => [() => guest.map(5, 0x50)]);
    const session = await open(driver);
    const failure = new TypeError('a bug');
    driver.failures.read.push(failure);
    await expect(session.run()).rejects.toBe(failure);
    expect(session.statistics().retries).toBe(0);
  });

  test('for good: what was said before arrives before the error does', async () => {
    const driver = scripted((guest) => [
      () => [...guest.map(1, 0x10), ...guest.map(2, 0x20), { kind: 'missed', reason: 'sampled', lost: null } as const],
    ]);
    const sink = new RecordingSink();
    const session = await open(driver, { sinks: [sink], retries: 1 });
    const heard: string[] = [];
    const failures = [readFailed(), readFailed()];
    await expect(
      (async () => {
        for await (const event of session) {
          heard.push(short(event));
          if (heard.length === 2) driver.failures.read.push(...failures);
        }
      })(),
    ).rejects.toBe(failures[1]);
    expect(heard).toEqual(['+1', '+2']);
    expect(sink.heard).toEqual(['+1', '+2']);
    expect(sink.summary).toMatchObject({ ended: 'failed', failure: { code: 'read-failed' }, retries: 1 });
    expect(driver.log.at(-1)).toBe('close, 0 protected');
  });

  test('restoring that fails is told and counted', async () => {
    const driver = scripted((guest) => [() => guest.map(5, 0x50)]);
    const faults: string[] = [];
    const sink = new RecordingSink();
    const session = await open(driver, { sinks: [sink], onFault: (fault) => faults.push(fault.code) });
    driver.failures.protect.push(new Error('no'));
    await session.close();
    expect(faults).toEqual(['restore-failed']);
    expect(sink.summary?.faults).toBe(1);
  });
});

test('an idle guest is left when the signal says so', async () => {
  const stop = new AbortController();
  const driver = new ScriptedDriver([idle]);
  const running = (await open(driver, { signal: stop.signal })).run();
  await expect.poll(() => driver.advanced).toBe(1);
  stop.abort();
  expect((await running).ended).toBe('stopped');
});

test.each([undefined, {}, { driver: undefined }, { driver: 'qemu' }, { driver: {} }])(
  'openSession(%o) names the option driver',
  async (given) => {
    const opening = openSession(given as never);
    await expect(opening).rejects.toMatchObject({ name: 'PtmonError', code: 'bad-argument' });
    await expect(opening).rejects.toThrow(/the option driver of openSession is/);
  },
);

test('openSession refuses an option that nobody reads', async () => {
  const opening = open(new ScriptedDriver([idle]), { sink: [] } as object);
  await expect(opening).rejects.toMatchObject({
    code: 'bad-argument',
    message: expect.stringContaining('no option sink'),
  });
});
