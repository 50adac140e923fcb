/** Sampling by a source that knows which frames were written meanwhile. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, test } from 'vitest';
import { gfnOf } from '../../src/core/address/pa.ts';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { openSession, type SystemLayer } from '../../src/session/index.ts';
import { makeRemote, ROOT, ScriptedDriver, type Step } from './scripted-driver.ts';

const paging = { mode: '4-level' } as const;

describe('a guest that is sampled by a source which knows what was written', () => {
  /** Frames of the four tables of a walk, and one that is none. */
  const [TOP, PAGE_TABLE, OTHER] = [1, 4, 0x99];

  function sampled(...writtenFrames: number[]) {
    return { kind: 'missed', reason: 'sampled', lost: null, writtenFrames } as const;
  }

  async function summaryOf(steps: (driver: ScriptedDriver) => Step[], system?: SystemLayer) {
    const list: Step[] = [];
    const driver = new ScriptedDriver(list);
    driver.isSampled = true;
    list.push(...steps(driver));
    const session = await openSession({ driver, paging, ...(system && { system }) });
    await session.watch({ root: ROOT, va: 0n, byteLength: 16 * 4096 });
    const events: MonitorEvent[] = [];
    for await (const event of session) events.push(event);
    return { events, lost: session.statistics().lost };
  }

  test('nothing is lost while no watched table is written', async () => {
    const { lost } = await summaryOf(() => [() => [sampled()], () => [sampled(OTHER)], () => [sampled(OTHER, 0x98)]]);
    expect(lost).toEqual({
      known: 0,
      unknown: false,
      windows: { proved: 3, unknown: 0, unknownMs: 0, longestMs: 0 },
    });
  });

  test('one window is unknown in which one was written, and its length is told', async () => {
    const { lost } = await summaryOf(() => [
      () => [sampled()],
      async () => {
        await sleep(30);
        return [sampled(OTHER, TOP)];
      },
      () => [sampled()],
    ]);
    expect(lost).toMatchObject({ known: 0, unknown: true, windows: { proved: 2, unknown: 1 } });
    const { unknownMs, longestMs } = lost.windows!;
    expect(unknownMs).toBeGreaterThanOrEqual(29);
    expect(longestMs).toBe(unknownMs);
  });

  test('whoever gets the events of a window knows that it is unknown', async () => {
    const list: Step[] = [];
    const driver = new ScriptedDriver(list);
    list.push(() => {
      void driver.map(1, 0x10);
      return [sampled(PAGE_TABLE)];
    });
    const seen: unknown[] = [];
    const system: SystemLayer = {
      words: () => new Float64Array(),
      update: async () => [],
      label: async (events) => {
        seen.push(session.statistics().lost);
        return events;
      },
    };
    const session = await openSession({ driver, paging, system });
    await session.watch({ root: ROOT, va: 0n, byteLength: 16 * 4096 });
    await session.run();
    expect(seen).toMatchObject([{ known: 0, unknown: true, reasons: ['sampled'], windows: { unknown: 1 } }]);
  });

  test('only the written tables are compared', async () => {
    const { events } = await summaryOf((driver) => [
      () => {
        void driver.map(1, 0x10);
        return [sampled(OTHER, TOP)];
      },
      () => [sampled(PAGE_TABLE)],
    ]);
    expect(events).toMatchObject([{ kind: 'page-in', pa: 0x10000 }]);
  });

  test('what comes and goes unseen makes the loss unknown, and says why', async () => {
    const system = {
      words: () => new Float64Array(),
      update: async () => [],
      label: async (events: readonly MonitorEvent[]) => events,
    };
    const layer = { ...system, blindTo: 'processes may come and go' };
    const { lost } = await summaryOf(() => [() => [sampled()], () => [sampled(TOP)]], layer);
    expect(lost).toMatchObject({
      unknown: true,
      reasons: ['sampled', 'processes may come and go'],
      windows: { proved: 0, unknown: 2 },
    });
  });

  test('tables are read only where their writes are noted', async () => {
    const driver = new ScriptedDriver();
    const { fetches } = makeRemote(driver);
    const { memory, remote } = driver;
    driver.memory = driver.ram;
    delete driver.remote;
    driver.proof = { memory, remote: remote! };
    const session = await openSession({ driver, paging });
    await session.watch({ root: ROOT, va: 0n });
    expect(fetches.flat().map(gfnOf)).toEqual([TOP, 2, 3, PAGE_TABLE]);
    await session.close();
  });
});
