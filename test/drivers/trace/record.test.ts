import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { PageCache } from '../../../src/core/memory/page-cache.ts';
import type { MonitorEvent } from '../../../src/core/monitor/events.ts';
import type { Driver, SourceEvent } from '../../../src/driver/index.ts';
import {
  openTrace,
  openTraceSnapshot,
  recordTrace,
  type TraceInstant,
  TraceReader,
} from '../../../src/drivers/trace/index.ts';
import { openSession, type Session } from '../../../src/session/index.ts';
import { eventLine } from '../../../src/sinks/jsonl-format.ts';
import { RecordingSink } from '../../session/recording-sink.ts';
import { temporaryFolder } from './temporary-folder.ts';
import { ToyGuest as Guest } from './toy-guest.ts';

const file = temporaryFolder();
const paging = { mode: '4-level' } as const;
const ROOT = 0x1000;

/** Records a session; answers its instants. */
async function record(guest: Guest, watch: (session: Session) => void, onEvent = (_session: Session) => {}) {
  const path = file('toy.trace');
  const session = await openSession({ driver: guest, recorder: recordTrace(path), paging });
  watch(session);
  for await (const _event of session) onEvent(session);
  return instantsOf(path);
}

function instantsOf(path: string): TraceInstant[] {
  const reader = new TraceReader(path);
  const instants = [...reader.instants()];
  reader.close();
  return instants;
}

const typesOf = ({ state, steps }: TraceInstant): string[] => [...state, ...steps].map(({ type }) => type);

describe('what is in a trace', () => {
  test('tables when they come into the picture, changes by how they were noticed, and what leaves', async () => {
    const guest = new Guest(
      (g) => g.write(5, 0x50),
      (g) => {
        // Beside a write that was seen, one that was not.
        g.set(7, 0x70);
        return g.write(6, 0x60);
      },
      (g) => {
        g.memory.writeU64(0x3000, 0, 0);
        return [{ kind: 'missed', reason: 'dma', lost: null }];
      },
      () => [],
      () => [],
    );
    const [first, second, third, fourth, ...rest] = await record(guest, ({ monitor }) => {
      monitor.monitorRange({ root: ROOT, va: 0, byteLength: 16 * 4096, tag: 'low' });
    });
    expect(first!.state.map((each) => each.type === 'table' && each.gfn)).toEqual([1, 2, 3, 4]);
    expect(first!.steps).toMatchObject([{ type: 'call', call: { kind: 'monitorRange', va: 0n, tag: 'low' } }]);
    expect(second!.state).toEqual([
      { type: 'changes', capture: 'write', changes: [{ pa: 0x4028, lo: 0x50007, hi: 0 }] },
    ]);
    expect(second!.steps.map((step) => step.type === 'said' && step.said.kind)).toEqual(['write', 'commit', 'missed']);
    expect(third!.state).toEqual([
      { type: 'changes', capture: 'write', changes: [{ pa: 0x4030, lo: 0x60007, hi: 0 }] },
      { type: 'changes', capture: 'compare', changes: [{ pa: 0x4038, lo: 0x70007, hi: 0 }] },
    ]);
    // The page table was compared once more, and is nobody's from then on.
    expect(fourth!.state).toMatchObject([{ type: 'changes', capture: 'compare' }]);
    expect(rest.flatMap(({ state }) => state)).toEqual([{ type: 'left', gfns: [4] }]);
  });

  test('a table that comes back is told anew', async () => {
    const unmap = (g: Guest): readonly SourceEvent[] => {
      g.memory.writeU64(0x3000, 0, 0);
      return [{ kind: 'missed', reason: 'x', lost: 0 }];
    };
    const map = (g: Guest): readonly SourceEvent[] => {
      g.set(1, 0x99);
      g.memory.writeU64(0x3000, 0x4007, 0);
      return [{ kind: 'missed', reason: 'x', lost: 0 }];
    };
    const instants = await record(new Guest(unmap, () => [], map), ({ monitor }) => {
      monitor.monitor({ root: ROOT, va: 0x1000 });
    });
    const tables = instants.flatMap(({ state }) => state.flatMap((each) => (each.type === 'table' ? [each] : [])));
    expect(tables.map(({ gfn }) => gfn)).toEqual([1, 2, 3, 4, 4]);
    expect([tables[3]!.words[2], tables[4]!.words[2]]).toEqual([0, 0x99007]);
  });

  test('calls in their place among what the source said', async () => {
    const guest = new Guest((g) => {
      g.set(1, 0x10);
      g.set(2, 0x20);
      return [
        { kind: 'missed', reason: 'one', lost: 0 },
        { kind: 'missed', reason: 'two', lost: 0 },
      ];
    });
    let isFirst = true;
    const instants = await record(
      guest,
      ({ monitor }) => monitor.monitor({ root: ROOT, va: 0x1000, tag: 7 }),
      ({ monitor }) => {
        if (isFirst) monitor.monitor({ root: ROOT, va: 0x2000 });
        isFirst = false;
      },
    );
    expect(instants[1]!.steps).toMatchObject([
      { said: { reason: 'one' } },
      { call: { kind: 'monitor', va: 0x2000n } },
      { said: { reason: 'two' } },
    ]);
  });

  test('notes, in their place', async () => {
    const path = file('noted.trace');
    const recorder = recordTrace(path, { title: 'a toy' });
    const session = await openSession({ driver: new Guest((g) => g.write(1, 0x10)), recorder, paging });
    session.monitor.monitor({ root: ROOT, va: 0x1000 });
    recorder.note('before it runs');
    for await (const _event of session) recorder.note('it came');
    const [first, second] = instantsOf(path);
    expect(typesOf(first!)).toEqual(['table', 'table', 'table', 'table', 'call', 'note']);
    expect(typesOf(second!)).toEqual(['changes', 'said', 'said', 'note', 'said']);
  });

  test('after a second at the latest, also where nothing more happens', async () => {
    const path = file('quiet.trace');
    const guest = new Guest((g) => g.write(1, 0x10));
    const stop = new AbortController();
    const run = guest.run.bind(guest);
    guest.run = async function* () {
      yield* run();
      await new Promise((resolve) => {
        stop.signal.addEventListener('abort', resolve);
      });
    };
    const session = await openSession({ driver: guest, recorder: recordTrace(path), paging, signal: stop.signal });
    session.monitor.monitor({ root: ROOT, va: 0x1000 });
    const running = session.run();
    const instants = (): number => {
      const reader = new TraceReader(path);
      let count = 0;
      try {
        for (const _instant of reader.instants()) count++;
      } catch {
        // It has no end yet.
      } finally {
        reader.close();
      }
      return count;
    };
    await expect.poll(instants, { timeout: 5000 }).toBe(2);
    stop.abort();
    await running;
  });

  test('memory that must be fetched, those entries of it that nobody watches as well', async () => {
    const guest = new Guest(
      (g) => {
        g.set(9, 0x90);
        return g.write(1, 0x10);
      },
      (g) => g.write(2, 0x20),
    );
    const cache = new PageCache();
    const path = file('remote.trace');
    const remote: Driver = {
      name: 'remote',
      memory: cache,
      remote: {
        fetch: async (addresses) => {
          for (const pa of addresses) {
            const words = guest.memory.page(Math.floor(pa / 4096));
            cache.put(Math.floor(pa / 4096), words === undefined ? null : new Uint8Array(words.buffer));
          }
        },
      },
      async *run() {
        for await (const batch of guest.run()) {
          cache.clear();
          yield batch;
        }
      },
      close: () => guest.close(),
    };
    const session = await openSession({ driver: remote, recorder: recordTrace(path), paging });
    await session.watch({ root: ROOT, va: 0x1000, byteLength: 0x2000 });
    await session.run();
    const [first, second, third] = instantsOf(path);
    expect(first!.state.map((each) => each.type === 'table' && each.gfn)).toEqual([1, 2, 3, 4]);
    expect(second!.state).toEqual([
      { type: 'changes', capture: 'write', changes: [{ pa: 0x4008, lo: 0x10007, hi: 0 }] },
      { type: 'changes', capture: 'compare', changes: [{ pa: 0x4048, lo: 0x90007, hi: 0 }] },
    ]);
    expect(third!.state).toHaveLength(1);
  });

  test('a frame that is no RAM', async () => {
    const guest = new Guest(() => []);
    guest.memory.writeU64(0x3000, 0x9_0000_0007 >>> 0, 0x1);
    const instants = await record(guest, ({ monitor }) => monitor.monitor({ root: ROOT, va: 0x1000 }));
    expect(instants[0]!.state).toContainEqual({ type: 'no-memory', gfn: 0x100000 });
  });
});

describe('a replay', () => {
  test('ends as the session did', async () => {
    const path = file('ended.trace');
    const fails = (): never => {
      throw new Error('the guest has burnt down');
    };
    for (const [step, ended] of [
      [() => [], 'finished'],
      [fails, 'failed'],
    ] as const) {
      const session = await openSession({ driver: new Guest(step), recorder: recordTrace(path), paging });
      await session.run().catch(() => {});
      const replayed = await openSession({ ...openTrace(path) });
      await replayed.run().catch(() => {});
      expect(replayed.summary()).toEqual(session.summary());
      expect(replayed.summary().ended).toBe(ended);
    }
    const session = await openSession({ driver: new Guest((g) => g.write(1, 1)), recorder: recordTrace(path), paging });
    session.monitor.monitor({ root: ROOT, va: 0x1000 });
    for await (const _event of session) break;
    const replayed = await openSession({ ...openTrace(path) });
    await replayed.run();
    expect(replayed.summary()).toEqual(session.summary());
    expect(replayed.summary().ended).toBe('stopped');
  });

  test('calls events as what knows the guest’s system called them', async () => {
    const path = file('named.trace');
    const map = (g: Guest): readonly SourceEvent[] => {
      for (let page = 0; page < 6; page++) g.set(page, 0x20 + page);
      return [{ kind: 'missed', reason: 'mmap', lost: 0 }];
    };
    /** Of six pages, two are of the heap, and what is not present is swapped. */
    const label = async (events: readonly MonitorEvent[]): Promise<readonly MonitorEvent[]> =>
      events.flatMap((event): readonly MonitorEvent[] => {
        const cause = event.cause && { ...event.cause, newMeaning: 'swap 0:1' };
        if (!('pages' in event) || !('pa' in event) || event.pages < 6)
          return [{ ...event, tags: ['sh[7]', 3], cause }];
        const heap = { ...event, pages: 2, tags: ['sh[7]', 'heap'] };
        const pa = (event.pa + 0x2000) as typeof event.pa;
        return [heap, { ...event, va: event.va + 0x2000n, pa, pages: 4, tags: ['sh[7]'] }];
      });
    const kept = { texts: [] as string[] };
    const sink = { write: (event: MonitorEvent) => void kept.texts.push(eventLine(event, 0)), end: () => {} };
    const session = await openSession({
      driver: new Guest(map, (g) => g.write(1, 0)),
      recorder: recordTrace(path),
      paging,
      sinks: [sink],
      system: { words: () => new Float64Array(), update: async () => [], label },
    });
    session.monitor.monitorRange({ root: ROOT, va: 0, byteLength: 0x6000, runs: true, tag: 'sh' });
    await session.run();
    const live = kept.texts.splice(0);
    expect(live.map((line) => JSON.parse(line).tags.join())).toEqual(['sh[7],heap', 'sh[7]', 'sh[7],3']);
    await (await openSession({ ...openTrace(path), sinks: [sink] })).run();
    expect(kept.texts).toEqual(live);
  });

  test('can itself be recorded', async () => {
    const again = file('again.trace');
    await record(
      new Guest(
        (g) => g.write(1, 1),
        (g) => g.write(1, 0),
      ),
      ({ monitor }) => monitor.monitor({ root: ROOT, va: 0x1000 }),
    );
    const sink = new RecordingSink();
    const trace = openTrace(file('toy.trace'));
    await (await openSession({ ...trace, recorder: recordTrace(again), sinks: [sink] })).run();
    expect(sink.heard).toEqual(['+1', '-1']);
    const strip = (of: TraceInstant[]) => of.map(({ state, steps }) => ({ state, steps }));
    expect(strip(instantsOf(again))).toEqual(strip(instantsOf(file('toy.trace'))));
  });

  test('at the speed that is asked for', async () => {
    const pause = () =>
      new Promise((resolve) => {
        setTimeout(resolve, 400);
      });
    const path = file('timed.trace');
    const guest = new Guest(
      (g) => g.write(1, 1),
      (g) => g.write(1, 0),
    );
    const session = await openSession({
      driver: guest,
      recorder: recordTrace(path),
      paging,
      onBatch: () => pause() as Promise<void>,
    });
    session.monitor.monitor({ root: ROOT, va: 0x1000 });
    await session.run();
    const timed = async (speed?: number): Promise<number> => {
      const start = performance.now();
      await (await openSession({ ...openTrace(path, speed === undefined ? {} : { speed }) })).run();
      return performance.now() - start;
    };
    expect(await timed(1)).toBeGreaterThan(390);
    // On a busy machine one of them may take as long.
    expect(Math.min(await timed(), await timed(), await timed())).toBeLessThan(390);
    expect(() => openTrace(path, { speed: 0 })).toThrow(/must be positive, not 0/);
  });

  test('of other addresses: those whose tables are in the trace, and a clear word for the others', async () => {
    await record(
      new Guest(
        (g) => g.write(1, 0x11),
        (g) => g.write(2, 0x22),
      ),
      ({ monitor }) => monitor.monitorRange({ root: ROOT, va: 0x1000, byteLength: 0x2000 }),
    );
    const sink = new RecordingSink();
    const session = await openSession({ ...openTrace(file('toy.trace'), { repeat: false }), sinks: [sink] });
    session.monitor.monitor({ root: ROOT, va: 0x2000, tag: 'other' });
    expect(() => session.monitor.monitor({ root: 0x7000, va: 0 })).toThrow(
      /the table at 0x7000 is not in the trace at 0\.0/,
    );
    await session.run();
    expect(sink.heard).toEqual(['+2']);
    // Between two stops, nobody looked.
    const reasons = ['not watched when it was recorded'];
    expect(session.statistics().lost).toEqual({ known: 0, unknown: true, reasons });
  });
});

test('a snapshot of a trace has its tables, at its end and in between', async () => {
  const instants = await record(
    new Guest(
      (g) => g.write(1, 0x11),
      (g) => g.write(1, 0x22),
    ),
    ({ monitor }) => monitor.monitor({ root: ROOT, va: 0x1000 }),
  );
  const entryOf = (atUs?: number): number => {
    const { memory, regions } = openTraceSnapshot(file('toy.trace'), atUs === undefined ? {} : { atUs });
    expect(regions).toEqual([{ pa: 0x1000, byteLength: 0x4000 }]);
    const out = new Uint32Array(2);
    memory.readEntry(0x4008, 8, out);
    expect(memory.readEntry(0x9000, 8, out)).toBe(1);
    return out[0]!;
  };
  expect(entryOf()).toBe(0x22007);
  expect(entryOf(instants[1]!.timeUs)).toBe(0x11007);
  expect(entryOf(0)).toBe(0);
});

describe('a file that cannot be written', () => {
  test.each([
    ['a folder', file('folder')],
    ['in no folder', file('none/x.trace')],
  ])('%s is refused before the guest is touched', (_name, path) => {
    mkdirSync(file('folder'), { recursive: true });
    expect(() => recordTrace(path)).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  });

  test.runIf(process.platform === 'linux')(
    'a full disk ends the session with a clear word, and lets the guest go',
    async () => {
      const guest = new Guest((g) => g.write(1, 1));
      await expect(openSession({ driver: guest, recorder: recordTrace('/dev/full'), paging })).rejects.toThrow(
        expect.objectContaining({
          code: 'write-failed',
          message: '/dev/full cannot be written to: there is no space left',
        }),
      );
      expect(guest.isClosed).toBe(true);
    },
  );

  test('more changes at once than a record holds', async () => {
    const guest = new Guest((g) => {
      for (let table = 0; table < 60; table++) {
        for (let slot = 0; slot < 512; slot++)
          g.memory.writeU64((16 + table) * 4096 + slot * 8, slot * 4096 + 7, table);
      }
      return [{ kind: 'missed', reason: 'much', lost: null }];
    });
    for (let table = 0; table < 60; table++) {
      guest.memory.addPage(16 + table);
      guest.memory.writeU64(0x3000 + table * 8, (16 + table) * 4096 + 7, 0);
    }
    const instants = await record(guest, ({ monitor }) => {
      monitor.monitorRange({ root: ROOT, va: 0, byteLength: 60 * 0x20_0000, runs: true });
    });
    const changes = instants[1]!.state.filter(({ type }) => type === 'changes');
    expect(changes.map((each) => each.type === 'changes' && each.changes.length)).toEqual([8192, 8192, 8192, 6144]);
  });

  test('a trace that was there is replaced; another file is kept', async () => {
    writeFileSync(file('toy.trace'), Buffer.concat([Buffer.from('\x89PTM', 'latin1'), Buffer.alloc(100_000)]));
    const instants = await record(new Guest(() => []), () => {});
    expect(instants).toHaveLength(2);
    writeFileSync(file('toy.trace'), 'x'.repeat(100_000));
    await expect(record(new Guest(() => []), () => {})).rejects.toThrow(/is not a trace: give another path/);
    recordTrace(file('toy.trace'), { force: true }).close();
  });
});
