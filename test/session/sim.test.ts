/** The whole line on the simulated guest: what the source cannot do well must not be seen in the events. */
import { describe, expect, test } from 'vitest';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { createSimDriver, FaultInjector, type SimOptions } from '../../src/testing/index.ts';
import { openSession } from '../../src/session/index.ts';
import type { Session } from '../../src/session/session.ts';
import { eventLine } from '../../src/sinks/jsonl-format.ts';
import type { Statistics } from '../../src/sinks/sink.ts';

interface Life {
  readonly lines: readonly string[];
  readonly statistics: Statistics;
}

/** Watches every area of every process as it appears, through a whole life of the guest. */
async function live(options: SimOptions, between: () => void = () => {}): Promise<Life> {
  const driver = createSimDriver({ seed: 4, steps: 150, vcpus: 2, ...options });
  const watched = new Set<string>();
  const watchAll = async (session: Session): Promise<void> => {
    for (const { pid, roots, areas } of driver.guest.processes) {
      for (const root of roots) {
        for (const { va, byteLength } of areas) {
          const key = `${pid} ${root} ${va} ${byteLength}`;
          if (watched.has(key)) continue;
          watched.add(key);
          await session.watch({ root, va, byteLength, tag: pid });
        }
      }
    }
  };
  const session: Session = await openSession({
    driver,
    kinds: ['protection', 'restructure', 'root-gone'],
    onBatch: async () => {
      await watchAll(session);
      between();
    },
  });
  const events: MonitorEvent[] = [];
  for await (const event of session) events.push(event);
  return { lines: events.map((event, seq) => eventLine(event, seq)), statistics: session.statistics() };
}

describe('the same life gives the same events', { timeout: 60_000 }, () => {
  test.each(['4-level', 'pae'] as const)('whether memory is here or has to be fetched: %s', async (mode) => {
    const local = await live({ mode });
    expect(local.lines.length).toBeGreaterThan(100);
    expect((await live({ mode, remote: true })).lines).toEqual(local.lines);
  });

  test('whether reads and protections succeed at once or at the fourth try (C9)', async () => {
    const good = await live({ isolation: true });
    const faults = new FaultInjector();
    let batches = 0;
    const bad = await live({ isolation: true, faults }, () => {
      batches++;
      faults.fail('read', 1 + (batches % 5), 1 + (batches % 2));
      faults.fail('getAccess', 1 + (batches % 2));
    });
    expect(bad.lines).toEqual(good.lines);
    expect(bad.statistics.retries).toBeGreaterThan(20);
    expect(good.statistics.retries).toBe(0);
  });

  test('C10 what devices change is found by comparing, and what nobody could count is said to be lost', async () => {
    const { statistics } = await live({ dmaEvery: 7, resetEvery: 60 });
    expect(statistics.resyncs).toBeGreaterThan(10);
    expect(statistics.foundByResync).toBeGreaterThan(0);
    expect(statistics.lost).toMatchObject({ known: 0, unknown: true });
    expect(statistics.counts['root-gone']).toBeGreaterThan(0);
  });
});
