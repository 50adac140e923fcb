/** A guest that builds tables to hurt the monitor costs no more than the documented bounds (rule C8). */
import { describe, expect, test } from 'vitest';
import { PWU, Rig } from './rig.ts';

const HALF = 2n ** 47n;
const NORMAL = 200n << 39n;

/** A PML4 whose first `k` entries point at itself, and one ordinary page at `NORMAL`. */
function selfMapped(k: number, maxRangePages?: number) {
  const rig = new Rig(maxRangePages === undefined ? {} : { maxRangePages });
  const root = rig.frame();
  rig.build(root, NORMAL, 0x5000n | PWU);
  for (let slot = 0; slot < k; slot++) rig.poke(root + 8 * slot, BigInt(root) | PWU);
  return { rig, root };
}

describe('C8 entries of a PML4 that point at the PML4', () => {
  test.each([8, 32, 96, 128])('%i of them: watching the lower half reads a bounded number of entries', (k) => {
    const { rig, root } = selfMapped(k, 2 ** 18);
    rig.monitor.monitorRange({ root, va: 0, byteLength: HALF, runs: true });
    expect(rig.reads).toBeLessThan(2 ** 19);
    // The rest of the address space is watched.
    expect(rig.monitor.state({ root, va: NORMAL })).toMatchObject({ pa: 0x5000 });
    const [event, ...more] = rig.write(rig.entry(root, NORMAL, 1), 0n);
    expect([event, more]).toMatchObject([{ kind: 'page-out', va: NORMAL }, []]);
    rig.monitor.unmonitorAll();
    expect(rig.restricted()).toEqual([]);
  });

  test('one fault names the entry and the range', () => {
    const { rig, root } = selfMapped(64, 2 ** 16);
    rig.monitor.monitorRange({ root, va: 0x1000, byteLength: HALF - 0x1000n });
    expect(rig.faults).toHaveLength(1);
    const [fault] = rig.faults;
    expect(fault).toMatchObject({ code: 'range-limit', facts: { root, view: 0 } });
    expect(fault!.message).toMatch(/range from 0x1000 to 0x7ffffffff000 .*maxRangePages/);
    expect(fault!.message).toContain(`0x${fault!.facts.entryPa!.toString(16)}`);
    // Once: not again for each entry, and not at each write.
    rig.write(root + 8 * 63, 0n);
    rig.write(root + 8 * 63, BigInt(root) | PWU);
    expect(rig.faults).toHaveLength(1);
  });

  test('a state says that it is not known, or is right', () => {
    const k = 24;
    const { rig, root } = selfMapped(k, 2 ** 16);
    rig.monitor.monitorRange({ root, va: 0, byteLength: HALF });
    let unknown = 0;
    for (let index = 0; index < 2000; index++) {
      // Any walk through four of the entries, some with a slot beyond them.
      const slots = [7, 11, 13, 17].map((prime, at) => BigInt((index * prime + at) % (k + 1)));
      const va = slots.reduce((sum, slot) => (sum << 9n) | slot, 0n) << 12n;
      const { state, walk } = rig.monitor.explain({ root, va });
      if (state!.unknown === 'range-limit') unknown++;
      else expect(state!.pa).toBe(walk.translates ? walk.pa : null);
    }
    expect(unknown).toBeGreaterThan(0);
    expect(unknown).toBeLessThan(2000);
  });

  test('a single address beyond the limit is watched', () => {
    const { rig, root } = selfMapped(64, 2 ** 14);
    rig.monitor.monitorRange({ root, va: 0, byteLength: HALF });
    const va = (60n << 39n) | (61n << 30n) | (62n << 21n) | (63n << 12n);
    expect(rig.monitor.state({ root, va })).toMatchObject({ unknown: 'range-limit' });
    rig.monitor.monitor({ root, va, tag: 'single' });
    expect(rig.monitor.state({ root, va })).toMatchObject({ pa: root });
    expect(rig.monitor.state({ root, va })!.unknown).toBeUndefined();
    const events = rig.write(root + 8 * 63, 0n);
    expect(events).toContainEqual(expect.objectContaining({ kind: 'page-out', va, pa: root }));
  });

  test('one write of 4096 bytes after the watch began', () => {
    const { rig, root } = selfMapped(0, 2 ** 16);
    rig.monitor.monitorRange({ root, va: 0, byteLength: HALF });
    const before = rig.reads;
    rig.monitor.markDirty(root, 4096, 0, 0);
    for (let slot = 0; slot < 96; slot++) rig.poke(root + 8 * slot, BigInt(root) | PWU);
    expect(rig.monitor.processDirtyEntries(0).length).toBeLessThan(2 ** 16);
    expect(rig.reads - before).toBeLessThan(2 ** 17);
    expect(rig.monitor.state({ root, va: NORMAL })).toMatchObject({ pa: 0x5000 });
    expect(rig.faults.map(({ code }) => code)).toEqual(['range-limit']);
    // And away again.
    rig.monitor.markDirty(root, 4096, 0, 0);
    for (let slot = 0; slot < 96; slot++) rig.poke(root + 8 * slot, 0n);
    rig.monitor.processDirtyEntries(0);
    expect(rig.monitor.pagedInEntries()).toBe(1);
    expect(rig.monitor.monitoredTables()).toBe(4);
  });

  test('within a failing source the limit is counted back', () => {
    const { rig, root } = selfMapped(4, 2 ** 20);
    for (let round = 0; round < 10; round++) {
      rig.failing = 'set';
      expect(() => rig.monitor.monitorRange({ root, va: 0, byteLength: HALF })).toThrow();
      rig.failing = undefined;
      rig.monitor.monitorRange({ root, va: 0, byteLength: HALF });
      rig.monitor.unmonitorRange({ root, va: 0, byteLength: HALF });
    }
    expect(rig.faults.filter(({ code }) => code === 'range-limit')).toEqual([]);
  });

  test('released and watched again, the limit is reported again', () => {
    const { rig, root } = selfMapped(64, 2 ** 14);
    const range = { root, va: 0, byteLength: HALF };
    rig.monitor.monitorRange(range);
    rig.monitor.unmonitorRange(range);
    rig.monitor.monitorRange(range);
    expect(rig.faults).toHaveLength(2);
  });
});

test('C8 where the limit is reached, a table that takes the place of a followed one is followed', () => {
  const TABLE = 0x20_0000n;
  for (let limit = 512; limit <= 6 * 512; limit += 512) {
    const rig = new Rig({ maxRangePages: limit });
    const root = rig.frame();
    for (let at = 0n; at < 4n; at++) rig.build(root, at * TABLE, ((0x100n + at) << 12n) | PWU);
    rig.monitor.monitorRange({ root, va: 0, byteLength: 4n * TABLE });
    for (let at = 0n; at < 4n; at++) {
      const va = at * TABLE;
      const before = rig.monitor.state({ root, va })!;
      const table = rig.frame();
      rig.poke(rig.slot(table, va, 1), ((0x200n + at) << 12n) | PWU);
      const events = rig.write(rig.entry(root, va, 2), BigInt(table) | PWU);
      if (before.pa === null) continue;
      expect(events, `limit ${limit}, table ${at}`).toMatchObject([{ kind: 'page-out' }, { kind: 'page-in', va }]);
      expect(rig.monitor.state({ root, va })!.pa).toBe(Number(0x200n + at) * 4096);
    }
  }
});

test('a self-map alone stays within the limit', () => {
  const { rig, root } = selfMapped(0);
  rig.poke(root + 8 * 0x1e, BigInt(root) | PWU);
  rig.monitor.monitorRange({ root, va: 0, byteLength: HALF, runs: true });
  expect(rig.faults).toEqual([]);
  const { state, walk } = rig.monitor.explain({ root, va: (0x1en << 39n) | (200n << 12n) });
  expect(state!.pa).toBe(walk.translates ? walk.pa : null);
});

test.each([0, -1, 0.5, Number.NaN, '5' as never])('maxRangePages %s is refused', (maxRangePages) => {
  expect(() => new Rig({ maxRangePages })).toThrow(/maxRangePages: .* is not a positive integer/);
});
