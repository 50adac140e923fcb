/** Calls of the monitor from within the source that it calls: marks and queries are served, every other call is refused. */
import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { PageTableMonitor } from '../../../src/core/monitor/page-table-monitor.ts';
import { notes, PWU, Rig } from './rig.ts';

const VA = 0x7000n;
const FAR = 0x4000_7000n;
const RANGE = { va: 0x8000_0000, byteLength: 0x40_0000 };

type Call = (monitor: PageTableMonitor, root: number) => unknown;

const REFUSED: Readonly<Record<string, Call>> = {
  monitor: (monitor, root) => monitor.monitor({ root, va: VA }),
  monitorRange: (monitor, root) => monitor.monitorRange({ root, ...RANGE }),
  unmonitor: (monitor, root) => monitor.unmonitor({ root, va: VA }),
  unmonitorRange: (monitor, root) => monitor.unmonitorRange({ root, ...RANGE }),
  unmonitorByForce: (monitor, root) => monitor.unmonitorByForce({ root, va: VA }),
  unmonitorView: (monitor) => monitor.unmonitorView(0),
  unmonitorAll: (monitor) => monitor.unmonitorAll(),
  rootGone: (monitor, root) => monitor.rootGone(root),
  processDirtyEntries: (monitor) => monitor.processDirtyEntries(0),
  processAtOnce: (monitor) => monitor.processAtOnce(0),
  resync: (monitor) => monitor.resync(),
  isUnchanged: (monitor) => monitor.isUnchanged('all'),
};

/** Calls of these in steps are refused with their first step: under the same names. */
const IN_STEPS = [
  'monitorRange',
  'rootGone',
  'processDirtyEntries',
  'resync',
  'unmonitorRange',
  'unmonitorView',
  'unmonitorAll',
].map((name) => `${name}InSteps`);

const SERVED: Readonly<Record<string, Call>> = {
  markDirtyEntry: (monitor, root) => monitor.markDirtyEntry(root, 0, 7),
  markDirty: (monitor, root) => monitor.markDirty(root, 8, 0, 7),
  isMonitoredTable: (monitor) => monitor.isMonitoredTable(1),
  monitoredTables: (monitor) => monitor.monitoredTables(),
  entryAddresses: (monitor) => monitor.entryAddresses(),
  entryVersion: (monitor) => monitor.entryVersion,
  monitoredEntries: (monitor) => monitor.monitoredEntries(),
  pagedInEntries: (monitor) => monitor.pagedInEntries(),
  state: (monitor, root) => monitor.state({ root, va: VA }),
  explain: (monitor, root) => monitor.explain({ root, va: VA }),
  dump: (monitor) => monitor.dump(),
  backedRuns: (monitor, root) => [...monitor.backedRuns({ root, ...RANGE })],
};

/** The calls that ask the source for something, and what each asks for. */
const OUTER: Readonly<Record<string, { readonly call: (rig: Rig, root: number) => unknown; readonly asks: string }>> = {
  monitor: { call: ({ monitor }, root) => monitor.monitor({ root, va: FAR + 0x20_0000n }), asks: 'read get set' },
  'monitor in a known table': { call: ({ monitor }, root) => monitor.monitor({ root, va: VA + 4096n }), asks: 'read' },
  monitorRange: { call: ({ monitor }, root) => monitor.monitorRange({ root, ...RANGE }), asks: 'read get set' },
  unmonitor: { call: ({ monitor }, root) => monitor.unmonitor({ root, va: VA }), asks: 'set' },
  unmonitorByForce: { call: ({ monitor }, root) => monitor.unmonitorByForce({ root, va: VA }), asks: 'set' },
  unmonitorView: { call: ({ monitor }) => monitor.unmonitorView(0), asks: 'set' },
  unmonitorAll: { call: ({ monitor }) => monitor.unmonitorAll(), asks: 'set' },
  rootGone: { call: ({ monitor }, root) => monitor.rootGone(root), asks: 'set' },
  'processDirtyEntries of a leaf': { call: (rig, root) => rig.write(rig.entry(root, VA, 1), 0n), asks: 'read' },
  'processDirtyEntries of a directory entry': {
    call: (rig, root) => {
      const table = rig.frame();
      rig.poke(rig.slot(table, VA, 1), 0x6000n | PWU);
      return rig.write(rig.entry(root, VA, 2), BigInt(table) | PWU);
    },
    asks: 'read get set',
  },
  resync: { call: ({ monitor }) => monitor.resync(), asks: 'read' },
  isUnchanged: { call: ({ monitor }) => monitor.isUnchanged('all'), asks: 'read' },
  explain: { call: ({ monitor }, root) => monitor.explain({ root, va: FAR }), asks: 'read' },
};

const CASES = Object.entries(OUTER).flatMap(([name, { asks }]) =>
  asks.split(' ').map((asked) => [name, asked] as const),
);

/** Two watched addresses; `nested` is called from within the source when it is asked for `asked`. */
function asking(asked: string, nested: (monitor: PageTableMonitor, root: number) => void) {
  const rig = new Rig();
  const root = rig.frame();
  for (const va of [VA, FAR, FAR + 0x20_0000n, 0x8000_7000n]) rig.build(root, va, 0x5000n | PWU);
  for (const va of [VA, FAR]) rig.monitor.monitor({ root, va });
  let times = 0;
  rig.onSourceCall = (call) => {
    if (call !== asked) return;
    times++;
    nested(rig.monitor, root);
  };
  return { rig, root, times: () => times };
}

test('every public call is one of these', () => {
  const names = Object.getOwnPropertyNames(PageTableMonitor.prototype).filter((name) => name !== 'constructor');
  expect([...Object.keys(REFUSED), ...IN_STEPS, ...Object.keys(SERVED)].sort()).toEqual(names.sort());
});

describe('from within a call of the source', () => {
  test.each(CASES)('during %s, asked to %s, each call is refused by its name and changes nothing', (name, asked) => {
    const { call } = OUTER[name]!;
    const alone = asking('nothing', () => {});
    const expected = call(alone.rig, alone.root);
    for (const [inner, refused] of Object.entries(REFUSED)) {
      const errors: unknown[] = [];
      const { rig, root, times } = asking(asked, (monitor, its) => {
        try {
          refused(monitor, its);
        } catch (error) {
          errors.push(error);
        }
      });
      expect(call(rig, root)).toEqual(expected);
      expect(times()).toBeGreaterThan(0);
      expect(errors).toHaveLength(times());
      for (const error of errors) {
        expect(error).toBeInstanceOf(PtmonError);
        expect(error).toMatchObject({ code: 'nested-call' });
        expect((error as Error).message).toContain(`${inner}()`);
      }
      rig.onSourceCall = undefined;
      expect(rig.monitor.dump()).toEqual(alone.rig.monitor.dump());
      expect(rig.restricted()).toEqual(alone.rig.restricted());
    }
  });

  test.each(CASES)('during %s, asked to %s, marks and queries are served', (name, asked) => {
    for (const served of Object.values(SERVED)) {
      const { rig, root, times } = asking(asked, (monitor, its) => {
        const onSourceCall = rig.onSourceCall!;
        rig.onSourceCall = undefined;
        served(monitor, its);
        rig.onSourceCall = onSourceCall;
      });
      OUTER[name]!.call(rig, root);
      expect(times()).toBeGreaterThan(0);
    }
  });

  test('a refusal that the source does not catch fails the outer call, and leaves the state as it was (C9)', () => {
    const { rig, root } = asking('read', (monitor) => monitor.unmonitorAll());
    const { onSourceCall } = rig;
    rig.onSourceCall = undefined;
    const before = rig.monitor.dump();
    rig.onSourceCall = onSourceCall;
    expect(() => rig.monitor.monitor({ root, va: FAR + 0x20_0000n })).toThrow('unmonitorAll()');
    rig.onSourceCall = undefined;
    expect(rig.monitor.dump()).toEqual(before);
    expect(notes(rig.write(rig.entry(root, VA, 1), 0n))).toEqual(['out 0x7000 → 0x5000']);
  });

  test('of an access that is restored late', () => {
    const errors: unknown[] = [];
    const { rig, root } = asking('set', (monitor, its) => {
      try {
        monitor.unmonitor({ root: its, va: FAR });
      } catch (error) {
        errors.push(error);
      }
    });
    rig.failing = 'set';
    rig.monitor.unmonitor({ root, va: VA });
    rig.failing = undefined;
    errors.length = 0;
    rig.monitor.processDirtyEntries(3);
    expect(errors.length).toBeGreaterThan(0);
    for (const error of errors) expect(error).toMatchObject({ code: 'nested-call' });
    expect(rig.monitor.unmonitor({ root, va: FAR })).toBe(true);
  });
});

test('calls are served again after one that fails', () => {
  const { rig, root } = asking('nothing', () => {});
  for (const failing of ['read', 'get', 'set'] as const) {
    rig.failing = failing;
    expect(() => rig.monitor.monitor({ root, va: FAR + 0x20_0000n })).toThrow('the source fails');
    if (failing === 'read') expect(() => rig.monitor.monitor({ root, va: VA + 4096n })).toThrow('the source fails');
  }
  rig.failing = undefined;
  rig.monitor.monitor({ root, va: FAR + 0x20_0000n });
  rig.monitor.unmonitorAll();
  expect(rig.restricted()).toEqual([]);
});

test('a listener of faults may call: the call is over by then', () => {
  const { rig, root } = asking('nothing', () => {});
  rig.onFault = () => {
    rig.failing = undefined;
    rig.monitor.monitor({ root, va: VA, tag: 'again' });
  };
  rig.failing = 'set';
  rig.monitor.unmonitor({ root, va: VA });
  expect(rig.monitor.state({ root, va: VA })).toMatchObject({ tags: ['again'] });
});
