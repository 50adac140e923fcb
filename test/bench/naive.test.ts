import { describe, expect, test } from 'vitest';
import type { Engine, EngineName } from '../../bench/engine.ts';
import { ENGINES } from '../../bench/engines.ts';
import { type RateRow, ROWS } from '../../bench/rows.ts';
import { type Layout, World } from '../../bench/world.ts';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';

const LAYOUTS: readonly Layout[] = [
  { mode: '4-level', roots: 2, addressesPerRoot: 600 },
  { mode: '5-level', roots: 2, addressesPerRoot: 530 },
];
const ROUNDS = 3;

/** What an engine answers, call by call, and which frames are protected, when the work of a row is done. */
function record(row: RateRow, layout: Layout, name: EngineName) {
  const world = new World(layout);
  const answers: unknown[] = [];
  const makeEngine = (): Engine => {
    const engine = ENGINES[name](world);
    return {
      monitor: (request) => engine.monitor(request),
      monitorRange: (request) => engine.monitorRange(request),
      unmonitor: (request) => noted(engine.unmonitor(request)),
      markDirtyEntry: (pa, view, vcpu) => noted(engine.markDirtyEntry(pa, view, vcpu)),
      processDirtyEntries: (vcpu) => noted(inOrder(engine.processDirtyEntries(vcpu))),
      resync: () => noted(inOrder(engine.resync())),
      monitoredEntries: () => noted(engine.monitoredEntries()),
    };
  };
  const noted = <Answer>(answer: Answer): Answer => {
    answers.push(answer);
    return answer;
  };
  const work = row.begin({ world, makeEngine, roundWrites: 512, collects: false });
  for (let round = 0; round < ROUNDS; round++) {
    work.prepare();
    work.run();
  }
  const access = Array.from({ length: world.tables }, (_, table) => world.memory.getAccess(0, table + 0x100));
  return { answers, access, events: answers.flatMap((answer) => (Array.isArray(answer) ? answer : [])) };
}

/** Within a batch, by root and address: which entry of a batch is looked at first is an engine's own affair. */
function inOrder(events: readonly MonitorEvent[]): MonitorEvent[] {
  return events.toSorted((a, b) => a.root - b.root || Number(a.va - b.va));
}

const rows = ROWS.filter((row): row is RateRow => row.unit === '/s' && row.usesEngine !== false);

describe.each(LAYOUTS)('the work of the benchmark on $roots roots in $mode paging', (layout) => {
  test.each(rows)('$name: naive and ptmon answer alike, event by event', (row) => {
    const naive = record(row, layout, 'naive');
    const ptmon = record(row, layout, 'ptmon');
    expect(ptmon.answers).toEqual(naive.answers);
    expect(ptmon.access).toEqual(naive.access);
  });

  test('a flip makes an event, a change of accessed or dirty none, and a directory entry 512', () => {
    const count = (name: string) => record(rows.find((row) => row.name === name)!, layout, 'ptmon').events.length;
    expect(count('flip')).toBe(ROUNDS * 512);
    expect(count('accessed-dirty')).toBe(0);
    expect(count('directory')).toBe(ROUNDS * 2 * 512);
  });
});

test('a range is the same to both as its pages', () => {
  const layout = LAYOUTS[0]!;
  for (const name of ['naive', 'ptmon'] as const) {
    const world = new World(layout);
    const engine = ENGINES[name](world);
    engine.monitorRange({ root: world.root(1), va: 0n, byteLength: 600 * 4096, tag: 'range' });
    const pa = world.leaf(600 + 599);
    expect(engine.markDirtyEntry(pa, 0, 0), name).toBe(true);
    world.memory.toggle(pa, 1);
    expect(engine.processDirtyEntries(0), name).toMatchObject([
      { kind: 'page-out', va: 599n * 4096n, tags: ['range'] },
    ]);
  }
});
