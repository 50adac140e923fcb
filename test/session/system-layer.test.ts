/** A layer that knows the guest's system: when it is asked, what becomes of its answers. */
import { expect, test } from 'vitest';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import type { EntryTraps, SourceEvent } from '../../src/driver/driver.ts';
import { openSession, type SystemLayer } from '../../src/session/index.ts';
import { registersOf, ROOT, ScriptedDriver, vaOfPage } from './scripted-driver.ts';

/** A driver that traps entries, and keeps what it was told to trap. */
class TrappingDriver extends ScriptedDriver {
  readonly trapped: number[][] = [];
  readonly traps: EntryTraps = {
    setEntries: async (entries) => {
      this.trapped.push([...entries].sort((a, b) => a - b));
    },
  };
}

interface LayerPlan {
  readonly words?: readonly number[];
  readonly update?: (batch: readonly SourceEvent[]) => readonly SourceEvent[];
  readonly label?: (events: readonly MonitorEvent[]) => readonly MonitorEvent[];
}

function layer({ words = [], update = () => [], label = (events) => events }: LayerPlan): SystemLayer {
  return {
    words: () => Float64Array.from(words),
    update: async (batch) => update(batch),
    label: async (events) => label(events),
  };
}

async function run(driver: ScriptedDriver, plan: LayerPlan): Promise<string[]> {
  driver.registers = registersOf({});
  const session = await openSession({ driver, system: layer(plan), kinds: ['root-gone'] });
  await session.watch({ root: ROOT, va: vaOfPage(0), byteLength: 4096 * 4 });
  const said: string[] = [];
  for await (const { kind, va, tags } of session) said.push([kind, va, ...tags].join(' '));
  return said;
}

test('its words are trapped with the entries', async () => {
  const driver = new TrappingDriver([() => [{ kind: 'missed', reason: '', lost: 0 }]]);
  await run(driver, { words: [0x50_0008, 0x50_0010] });
  expect(driver.trapped.length).toBeGreaterThan(0);
  for (const entries of driver.trapped) expect(entries.slice(-2)).toEqual([0x50_0008, 0x50_0010]);
  expect(driver.trapped[0]!.length).toBeGreaterThan(2);
});

test('R4 what it says of roots comes before the batch: nothing is said of a table that is none any more', async () => {
  const driver = new ScriptedDriver([() => driver.map(0, 7), () => driver.map(1, 8), () => driver.map(2, 9)]);
  const seen: string[] = [];
  const said = await run(driver, {
    update: (batch) => {
      seen.push(batch.map(({ kind }) => kind).join(' '));
      return seen.length === 2 ? [{ kind: 'root-gone', root: ROOT }] : [];
    },
  });
  expect(seen).toEqual(['write commit', 'write commit', 'write commit']);
  expect(said).toEqual(['page-in 0', 'page-out 0', 'root-gone 0']);
});

test('events are what it makes of them, for everybody', async () => {
  const driver = new ScriptedDriver([() => driver.map(0, 7), () => driver.map(1, 8)]);
  const said = await run(driver, {
    label: (events) => events.filter(({ va }) => va !== 0n).map((event) => ({ ...event, tags: ['nginx[1]', 'heap'] })),
  });
  expect(said).toEqual(['page-in 4096 nginx[1] heap']);
});

test.each(['update', 'label'] as const)('what its %s throws ends the session', async (call) => {
  const driver = new ScriptedDriver([() => driver.map(0, 7)]);
  const failing = () => {
    throw new Error('the layer failed');
  };
  await expect(run(driver, { [call]: failing })).rejects.toThrow('the layer failed');
  expect(driver.log.at(-1)).toBe('close, 0 protected');
});
