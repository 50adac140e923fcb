import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../src/core/error.ts';
import { openSession } from '../../src/session/index.ts';
import type { Session } from '../../src/session/session.ts';
import { RecordingSink, short } from './recording-sink.ts';
import { idle, ROOT, ScriptedDriver, vaOfPage } from './scripted-driver.ts';

const paging = { mode: '4-level' } as const;
const lost = new PtmonError('source-unavailable', 'the guest is gone');

interface Stage {
  readonly session: Session;
  readonly driver: ScriptedDriver;
  readonly sink: RecordingSink;
  readonly failing: RecordingSink;
  readonly stop: AbortController;
}

/** A guest that maps pages 1 and 2, then 3, then (where told) is lost. */
async function stage({ failOn = '', loseSource = false } = {}): Promise<Stage> {
  const driver: ScriptedDriver = new ScriptedDriver([
    () => [...driver.map(1, 0x10), ...driver.map(2, 0x20)],
    () => driver.map(3, 0x30),
    () => {
      if (loseSource) throw lost;
      return [];
    },
  ]);
  const failing = new RecordingSink(failOn);
  const sink = new RecordingSink();
  const stop = new AbortController();
  const session = await openSession({ driver, paging, sinks: [failing, sink], signal: stop.signal });
  await session.watch({ root: ROOT, va: 0n, byteLength: 16 * 4096 });
  return { session, driver, sink, failing, stop };
}

async function iterate(session: Session, body: (said: string) => unknown): Promise<void> {
  for await (const event of session) if ((await body(short(event))) === 'break') break;
}

describe('however a session ends, everything is released, once', () => {
  const endings: readonly {
    name: string;
    setting?: Parameters<typeof stage>[0];
    end: (on: Stage) => Promise<unknown>;
    error?: unknown;
    ended: 'finished' | 'stopped' | 'failed';
    sinkHeard: readonly string[];
  }[] = [
    { name: 'the guest ends', end: ({ session }) => session.run(), ended: 'finished', sinkHeard: ['+1', '+2', '+3'] },
    { name: 'break', end: ({ session }) => iterate(session, () => 'break'), ended: 'stopped', sinkHeard: ['+1'] },
    {
      name: 'a throw in the body',
      end: ({ session }) =>
        iterate(session, () => {
          throw new Error('the body throws');
        }),
      error: 'the body throws',
      ended: 'stopped',
      sinkHeard: ['+1'],
    },
    {
      name: 'abort in the body',
      end: ({ session, stop }) => iterate(session, () => stop.abort()),
      ended: 'stopped',
      sinkHeard: ['+1', '+2'],
    },
    {
      name: 'abort before the first batch',
      end: ({ session, stop }) => {
        stop.abort();
        return session.run();
      },
      ended: 'stopped',
      sinkHeard: [],
    },
    {
      name: 'close in the body',
      end: ({ session }) => iterate(session, () => session.close()),
      ended: 'stopped',
      sinkHeard: ['+1'],
    },
    { name: 'close before the loop', end: ({ session }) => session.close(), ended: 'stopped', sinkHeard: [] },
    {
      name: 'await using',
      end: async (on) => {
        await using session = on.session;
        expect(session.monitor.monitoredTables()).toBe(4);
      },
      ended: 'stopped',
      sinkHeard: [],
    },
    {
      name: 'the source is lost',
      setting: { loseSource: true },
      end: ({ session }) => session.run(),
      error: lost,
      ended: 'failed',
      sinkHeard: ['+1', '+2', '+3'],
    },
    {
      name: 'a sink throws: the others hear that event too',
      setting: { failOn: '+1' },
      end: ({ session }) => session.run(),
      error: 'sink fails on +1',
      ended: 'failed',
      sinkHeard: ['+1'],
    },
    {
      name: 'a sink throws, then break',
      setting: { failOn: '+1' },
      end: ({ session }) => iterate(session, () => 'break'),
      error: 'sink fails on +1',
      ended: 'failed',
      sinkHeard: ['+1'],
    },
    {
      name: 'a sink throws at the end',
      setting: { failOn: 'end' },
      end: ({ session }) => session.run(),
      error: 'sink fails on end',
      ended: 'failed',
      sinkHeard: ['+1', '+2', '+3'],
    },
    {
      name: 'a sink throws when closed',
      setting: { failOn: 'end' },
      end: ({ session }) => session.close(),
      error: 'sink fails on end',
      ended: 'failed',
      sinkHeard: [],
    },
    {
      name: 'the source is lost and a sink throws at the end: the first error counts',
      setting: { loseSource: true, failOn: 'end' },
      end: ({ session }) => session.run(),
      error: lost,
      ended: 'failed',
      sinkHeard: ['+1', '+2', '+3'],
    },
  ];

  test.each(endings)('$name', async ({ setting, end, error, ended, sinkHeard }) => {
    const on = await stage(setting);
    expect(on.driver.protectedFrames.size).toBe(4);

    const ending = end(on);
    if (error === undefined) await ending;
    else if (typeof error === 'string') await expect(ending).rejects.toThrow(error);
    else await expect(ending).rejects.toBe(error);

    expect(on.session.monitor.monitoredTables()).toBe(0);
    expect(on.sink.heard).toEqual(sinkHeard);
    expect(on.session.summary().ended).toBe(ended);
    // R3: nothing is protected any more when the driver is closed, and closing comes after standing still.
    expect(on.driver.log.filter((line) => line !== 'run' && line !== 'stand still')).toEqual(['close, 0 protected']);
    expect(on.driver.log.at(-1)).toBe('close, 0 protected');

    await on.session.close();
    await on.session.close();
    expect([on.sink.ends, on.failing.ends]).toEqual([1, 1]);
    expect(on.driver.log.filter((line) => line.startsWith('close'))).toHaveLength(1);
  });

  test.each(endings.filter(({ setting }) => setting?.failOn !== 'end'))(
    '$name: the last line says so',
    async (ending) => {
      const on = await stage(ending.setting);
      await ending.end(on).catch(() => {});
      expect(on.sink.summary?.ended).toBe(ending.ended);
      expect(on.sink.summary?.counts['page-in']).toBeGreaterThanOrEqual(ending.sinkHeard.length);
    },
  );
});

describe('close from outside', () => {
  test('while the guest runs', async () => {
    const driver = new ScriptedDriver([idle]);
    const sink = new RecordingSink();
    const session = await openSession({ driver, paging, sinks: [sink] });
    await session.watch({ root: ROOT, va: vaOfPage(1) });
    const running = session.run();
    await expect.poll(() => driver.advanced).toBe(1);
    await Promise.all([session.close(), session.close()]);
    expect((await running).ended).toBe('stopped');
    expect(driver.log).toEqual(['run', 'stand still', 'close, 0 protected']);
  });

  test('while a sink writes: the sink finishes first', async () => {
    const driver: ScriptedDriver = new ScriptedDriver([() => driver.map(1, 0x10)]);
    const log: string[] = [];
    const writing: (() => void)[] = [];
    const sink = {
      write: async () => {
        await new Promise<void>((resolve) => {
          writing.push(resolve);
        });
        log.push('written');
      },
      end: () => {
        log.push('ended');
      },
    };
    const session = await openSession({ driver, paging, sinks: [sink] });
    await session.watch({ root: ROOT, va: vaOfPage(1) });
    const running = session.run();
    await expect.poll(() => writing.length).toBe(1);
    const closing = session.close();
    await Promise.resolve();
    expect(log).toEqual([]);
    writing[0]?.();
    await Promise.all([running, closing]);
    expect(log).toEqual(['written', 'ended']);
  });
});

describe('a closed session', () => {
  test('watches nothing any more', async () => {
    const { session } = await stage();
    await session.close();
    await expect(session.watch({ root: ROOT, va: 0n })).rejects.toMatchObject({ code: 'closed' });
    await expect(session.watch({ root: ROOT, va: 0n, byteLength: 1 })).rejects.toMatchObject({ code: 'closed' });
    await expect(session.run()).rejects.toMatchObject({ code: 'closed' });
  });

  test('is iterated once', async () => {
    const { session } = await stage();
    const first = session[Symbol.asyncIterator]();
    await first.next();
    expect(() => session[Symbol.asyncIterator]()).toThrow(expect.objectContaining({ code: 'closed' }));
    await first.return();
  });
});

describe('a session that cannot be opened closes its driver', () => {
  test('because nobody knows the paging', async () => {
    const driver = new ScriptedDriver();
    await expect(openSession({ driver })).rejects.toMatchObject({ code: 'bad-argument' });
    expect(driver.log).toEqual(['close, 0 protected']);
  });

  test('because a sink cannot begin', async () => {
    const driver = new ScriptedDriver();
    const [failing, sink] = [new RecordingSink('begin'), new RecordingSink()];
    await expect(openSession({ driver, paging, sinks: [failing, sink] })).rejects.toThrow('sink fails on begin');
    expect(driver.log.at(-1)).toBe('close, 0 protected');
    expect([failing.ends, sink.ends]).toEqual([1, 1]);
    expect(sink.summary?.ended).toBe('failed');
  });
});

describe('a guest that is sampled, in a session that ends before the first sample', () => {
  const unknown = { known: 0, unknown: true, reasons: ['no sample was taken'] };

  test.each([true, false])('is sampled: %s', async (isSampled) => {
    const driver = new ScriptedDriver();
    driver.isSampled = isSampled;
    const sink = new RecordingSink();
    const session = await openSession({ driver, paging, sinks: [sink] });
    await session.watch({ root: ROOT, va: 0n });
    await session.close();
    expect(session.statistics().lost).toEqual(isSampled ? unknown : { known: 0, unknown: false });
    expect(sink.summary?.lost.unknown).toBe(isSampled);
  });

  test('the source hears what each comparison found', async () => {
    const sampled = { kind: 'missed', reason: 'sampled', lost: null } as const;
    const driver: ScriptedDriver = new ScriptedDriver([
      () => [sampled],
      () => {
        void [...driver.map(1, 0x10), ...driver.map(2, 0x20)];
        return [sampled];
      },
    ]);
    const session = await openSession({ driver, paging });
    await session.watch({ root: ROOT, va: 0n, byteLength: 16 * 4096 });
    await session.run();
    expect(driver.comparedEvents).toEqual([0, 2]);
  });

  test('one sample is enough for its own reason to stand', async () => {
    const driver = new ScriptedDriver([() => [{ kind: 'missed', reason: 'sampled', lost: null }]]);
    driver.isSampled = true;
    const session = await openSession({ driver, paging });
    expect((await session.run()).lost).toMatchObject({ known: 0, unknown: true, reasons: ['sampled'] });
  });
});
