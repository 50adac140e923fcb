/** Sources that report writes while they are asked for something, and listeners that call the monitor. */
import { describe, expect, test } from 'vitest';
import { READ_NOT_FETCHED } from '../../../src/core/memory/physical-memory.ts';
import { notes, PWU, Rig } from './rig.ts';

const VA = 0x7000n;
const FAR = 0x4000_7000n;

function built(...vas: readonly bigint[]) {
  const rig = new Rig();
  const root = rig.frame();
  for (const va of vas) rig.build(root, va, 0x5000n | PWU);
  return { rig, root };
}

describe('a source that reports writes while it protects a table', () => {
  test('C4 the entry that is being processed, written once more', () => {
    const { rig, root } = built(VA);
    rig.monitor.monitor({ root, va: VA });
    const pde = rig.entry(root, VA, 2);
    const table = rig.frame();
    rig.poke(rig.slot(table, VA, 1), 0x6000n | PWU);
    rig.mark(pde);
    rig.poke(pde, BigInt(table) | PWU);
    rig.beforeProtect = () => rig.mark(pde);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7000 → 0x5000', 'in 0x7000 → 0x6000']);
    rig.beforeProtect = undefined;
    rig.poke(pde, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7000 → 0x6000']);
  });

  test.each([1, 2, 3, 4])('C3 that very table, at level %i, for its first watch', (level) => {
    const { rig, root } = built(VA);
    const entry = rig.entry(root, VA, level);
    rig.beforeProtect = (gfn) => {
      if (gfn === Math.floor(entry / 4096)) rig.mark(entry, 1);
    };
    rig.monitor.monitor({ root, va: VA });
    rig.poke(entry, 0n);
    expect(notes(rig.monitor.processDirtyEntries(1))).toEqual(['out 0x7000 → 0x5000']);
    expect(rig.monitor.state({ root, va: VA })!.pa).toBeNull();
  });

  test('C3 that very table, which an address has just been led to', () => {
    const { rig, root } = built(VA);
    rig.monitor.monitor({ root, va: VA });
    const table = rig.frame();
    const pte = rig.slot(table, VA, 1);
    rig.beforeProtect = () => rig.mark(pte, 1);
    expect(notes(rig.write(rig.entry(root, VA, 2), BigInt(table) | PWU))).toEqual(['out 0x7000 → 0x5000']);
    rig.poke(pte, 0x6000n | PWU);
    expect(notes(rig.monitor.processDirtyEntries(1))).toEqual(['in 0x7000 → 0x6000']);
  });

  test('C9 a table that could not be protected is no table', () => {
    const { rig, root } = built(VA);
    rig.failing = 'set';
    expect(() => rig.monitor.monitor({ root, va: VA })).toThrow();
    expect([rig.monitor.monitoredTables(), rig.mark(root)]).toEqual([0, false]);
  });
});

describe('a source that reports writes while it is read', () => {
  test('C4 more of them than there were', () => {
    const { rig, root } = built(VA);
    const vas = Array.from({ length: 300 }, (_, page) => BigInt(page) * 4096n);
    for (const va of vas) rig.build(root, va, 0x5000n | PWU);
    rig.monitor.monitorRange({ root, va: 0, byteLength: 512 * 4096 });
    const [first, ...others] = vas.map((va) => rig.entry(root, va, 1));
    const readEntry = rig.memory.readEntry.bind(rig.memory);
    rig.memory.readEntry = (...read) => {
      for (const pte of others) rig.mark(pte);
      return readEntry(...read);
    };
    rig.mark(first!);
    rig.mark(others[0]!);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual([]);
    rig.memory.readEntry = readEntry;
    for (const pte of others) rig.poke(pte, 0n);
    expect(rig.monitor.processDirtyEntries(0)).toHaveLength(others.length);
  });
});

describe('C9 a listener that is told of a fault may call the monitor', () => {
  const calls: Readonly<Record<string, (rig: Rig, root: number) => unknown>> = {
    unmonitorAll: ({ monitor }) => monitor.unmonitorAll(),
    unmonitorView: ({ monitor }) => monitor.unmonitorView(0),
    unmonitorByForce: ({ monitor }, root) => monitor.unmonitorByForce({ root, va: VA }),
    rootGone: ({ monitor }, root) => monitor.rootGone(root),
    monitor: ({ monitor }, root) => monitor.monitor({ root, va: VA }),
    processDirtyEntries: ({ monitor }) => monitor.processDirtyEntries(0),
    resync: ({ monitor }) => monitor.resync(),
    dump: ({ monitor }) => monitor.dump(),
  };
  const causes: Readonly<Record<string, (rig: Rig, root: number) => unknown>> = {
    unmonitorAll: calls['unmonitorAll']!,
    rootGone: calls['rootGone']!,
    unmonitor: ({ monitor }, root) => monitor.unmonitor({ root, va: FAR }),
    processDirtyEntries: (rig, root) => rig.write(rig.entry(root, FAR, 3), 0n),
    'monitorRange, which fails': ({ monitor }, root) => {
      expect(() => monitor.monitorRange({ root, va: 0x8000_0000, byteLength: 0x4000_0000 })).toThrow();
    },
  };
  const pairs = Object.keys(causes).flatMap((cause) => Object.keys(calls).map((call) => [cause, call] as const));

  test.each(pairs)('during %s: %s', (cause, call) => {
    const { rig, root } = built(VA, FAR, 0x8000_0000n, 0x8020_0000n);
    const { monitor } = rig;
    for (const va of [VA, FAR]) monitor.monitor({ root, va });
    rig.onFault = () => {
      rig.failing = undefined;
      calls[call]!(rig, root);
    };
    let protections = 0;
    rig.beforeProtect = () => {
      if (++protections === 2) rig.failing = 'set';
    };
    if (!cause.startsWith('monitorRange')) rig.failing = 'set';
    causes[cause]!(rig, root);
    expect(rig.faults.length).toBeGreaterThan(0);

    rig.failing = undefined;
    rig.beforeProtect = undefined;
    for (const va of [VA, FAR]) {
      const fresh = monitor.explain({ root, va });
      if (fresh.state !== undefined) expect(fresh.state.pa).toBe(fresh.walk.translates ? fresh.walk.pa : null);
    }
    monitor.unmonitorAll();
    expect(monitor.dump()).toMatchObject({ addresses: [], ranges: [], tables: [], marks: [] });
    expect(rig.restricted()).toEqual([]);
  });
});

describe('E7 a call that fails does not change the order of what the next one says', () => {
  test.each([
    ['of one page table', [0x9000n, 0x8000n, VA]],
    ['of three', [0x8000_0000n, FAR, VA]],
  ])('leaf entries %s, marked from the last to the first', (_, vas) => {
    const said = (fails: boolean) => {
      const { rig, root } = built(...vas);
      for (const va of vas) rig.monitor.monitor({ root, va });
      for (const va of vas) {
        rig.mark(rig.entry(root, va, 1));
        rig.poke(rig.entry(root, va, 1), 0n);
      }
      if (fails) {
        const readEntry = rig.memory.readEntry.bind(rig.memory);
        rig.memory.readEntry = () => READ_NOT_FETCHED;
        expect(() => rig.monitor.processDirtyEntries(0)).toThrow();
        rig.memory.readEntry = readEntry;
        rig.monitor.dump();
      }
      return notes(rig.monitor.processDirtyEntries(0));
    };
    expect(said(true)).toEqual(said(false));
    expect(said(true)).toHaveLength(3);
  });
});
