/** Calls in steps: they do what the same calls do at once, nobody sees one half done, and one that is taken back has changed nothing. */
import { describe, expect, test } from 'vitest';
import type { CallInSteps } from '../../../src/core/monitor/call-in-steps.ts';
import type { MonitorEvent } from '../../../src/core/monitor/events.ts';
import { PWU, Rig } from './rig.ts';

const GIB = 2n ** 30n;
const FIRST = 0x4000_0000n;
const RANGE = { va: 0, byteLength: 2n * GIB };

/** A root with pages all over the range, of which two addresses are watched singly, and one table that is not reached yet. */
function stage() {
  const rig = new Rig({ views: 2, kinds: ['protection', 'root-gone'] });
  const root = rig.frame();
  for (let table = 0n; table < 4n; table++) {
    for (let page = 0n; page < 512n; page += 111n) {
      rig.build(root, FIRST + table * 0x1000_0000n + page * 4096n, ((0x100_000n + table * 512n + page) * 4096n) | PWU);
    }
  }
  rig.monitor.monitor({ root, va: FIRST, tag: 'single' });
  rig.monitor.monitor({ root, va: FIRST + 0x1000_0000n, tag: 7 });
  return { rig, root };
}

type Stage = ReturnType<typeof stage>;

interface Long {
  readonly prepare?: (stage: Stage) => void;
  readonly begin: (stage: Stage) => CallInSteps<MonitorEvent[] | boolean | void>;
  readonly atOnce: (stage: Stage) => MonitorEvent[] | boolean | void;
}

const watchAll = ({ rig, root }: Stage) => rig.monitor.monitorRange({ root, ...RANGE, tag: 'range' });

/** The whole range is mapped by other tables now. */
function remap({ rig, root }: Stage): number {
  const entryPa = rig.entry(root, 0n, 4);
  const other = rig.frame();
  for (let table = 0n; table < 3n; table++) rig.build(other, FIRST + table * 0x1000_0000n, 0x9000n | PWU);
  rig.poke(entryPa, rig.read(rig.slot(other, 0n, 4)));
  return entryPa;
}

const CALLS: Readonly<Record<string, Long>> = {
  monitorRange: {
    begin: ({ rig, root }) => rig.monitor.monitorRangeInSteps({ root, ...RANGE, tag: 'range' }),
    atOnce: watchAll,
  },
  processDirtyEntries: {
    prepare: (its) => {
      watchAll(its);
      its.rig.monitor.markDirty(remap(its), 8, 0, 3);
    },
    begin: ({ rig }) => rig.monitor.processDirtyEntriesInSteps(3),
    atOnce: ({ rig }) => rig.monitor.processDirtyEntries(3),
  },
  resync: {
    prepare: (its) => {
      watchAll(its);
      remap(its);
    },
    begin: ({ rig }) => rig.monitor.resyncInSteps(),
    atOnce: ({ rig }) => rig.monitor.resync(),
  },
  rootGone: {
    prepare: watchAll,
    begin: ({ rig, root }) => rig.monitor.rootGoneInSteps(root),
    atOnce: ({ rig, root }) => rig.monitor.rootGone(root),
  },
  unmonitorRange: {
    prepare: watchAll,
    begin: ({ rig, root }) => rig.monitor.unmonitorRangeInSteps({ root, ...RANGE }),
    atOnce: ({ rig, root }) => rig.monitor.unmonitorRange({ root, ...RANGE }),
  },
  unmonitorView: {
    prepare: watchAll,
    begin: ({ rig }) => rig.monitor.unmonitorViewInSteps(0),
    atOnce: ({ rig }) => rig.monitor.unmonitorView(0),
  },
  unmonitorAll: {
    prepare: watchAll,
    begin: ({ rig }) => rig.monitor.unmonitorAllInSteps(),
    atOnce: ({ rig }) => rig.monitor.unmonitorAll(),
  },
};
/** Calls that cannot be taken back once they have begun. */
const RELEASES = ['rootGone', 'unmonitorRange', 'unmonitorView', 'unmonitorAll'];
const NAMES = Object.keys(CALLS);

function prepared(name: string): Stage {
  const its = stage();
  CALLS[name]!.prepare?.(its);
  return its;
}

const stateOf = ({ rig }: Stage) => ({
  dump: rig.monitor.dump(),
  access: rig.restricted(),
  tables: rig.monitor.monitoredTables(),
});

/** What the call leads to when nobody interrupts it. */
function expected(name: string) {
  const its = prepared(name);
  const result = CALLS[name]!.atOnce(its);
  return { result, state: stateOf(its) };
}

function stepsOf(name: string): number {
  const call = CALLS[name]!.begin(prepared(name));
  let steps = 1;
  while (call.advance()) steps++;
  return steps;
}

/** The most steps after which a call can be taken back. */
function stepsUntilCommit(name: string): number {
  for (let steps = stepsOf(name); ; steps--) {
    const call = CALLS[name]!.begin(prepared(name));
    for (let step = 0; step < steps; step++) call.advance();
    if (call.cancel(new Error('aborted'))) return steps;
  }
}

describe('a call in steps', () => {
  test.each(NAMES)('%s: does what it does at once', (name) => {
    const its = prepared(name);
    const call = CALLS[name]!.begin(its);
    let steps = 1;
    while (call.advance()) steps++;
    expect(steps).toBeGreaterThan(5);
    expect({ result: call.finish(), state: stateOf(its) }).toEqual(expected(name));
  });

  test.each(NAMES)('%s: any query or call between two steps sees all of it done', (name) => {
    const { result, state } = expected(name);
    for (let stop = 1; stop < stepsOf(name); stop++) {
      const its = prepared(name);
      const call = CALLS[name]!.begin(its);
      for (let step = 0; step < stop; step++) call.advance();
      expect(stateOf(its)).toEqual(state);
      expect(call.advance()).toBe(false);
      expect(call.finish()).toEqual(result);
      expect(call.cancel(new Error('too late'))).toBe(false);
    }
  });

  test.each(NAMES)(
    '%s: taken back between two steps, it has changed nothing (C9), or it goes on to its end',
    (name) => {
      const before = stateOf(prepared(name));
      const { result, state } = expected(name);
      let cancelled = 0;
      const steps = stepsOf(name);
      for (let stop = 0; stop < steps; stop++) {
        const its = prepared(name);
        const call = CALLS[name]!.begin(its);
        for (let step = 0; step < stop; step++) call.advance();
        const reason = new Error('aborted');
        if (call.cancel(reason)) {
          cancelled++;
          expect(() => call.finish()).toThrow(reason);
          expect(stateOf(its)).toEqual(before);
          // It can be repeated.
          expect(CALLS[name]!.atOnce(its)).toEqual(result);
        } else {
          expect(call.finish()).toEqual(result);
        }
        expect(stateOf(its)).toEqual(state);
      }
      // What is only reported cannot be taken back.
      expect(cancelled).toBeGreaterThan(RELEASES.includes(name) ? 0 : 4);
    },
  );

  test.each(RELEASES)('%s: gives one table its access back in a step', (name) => {
    const its = prepared(name);
    const { protections } = its.rig;
    const call = CALLS[name]!.begin(its);
    const before = protections.length;
    for (let known = before; call.advance(); known = protections.length)
      expect(protections.length).toBeLessThanOrEqual(known + 1);
    expect(protections.length).toBeGreaterThan(before + 1);
  });

  test.each(['monitorRange', 'processDirtyEntries', 'resync'])(
    '%s: taking it back gives one table its access back in a step',
    (name) => {
      const its = prepared(name);
      const { protections } = its.rig;
      const before = stateOf(prepared(name));
      const call = CALLS[name]!.begin(its);
      // As far as it can be taken back: all tables are protected.
      const most = stepsUntilCommit(name);
      for (let step = 0; step < most; step++) call.advance();
      let known = protections.length;
      expect(call.cancel(new Error('aborted'))).toBe(true);
      let steps = 1;
      do {
        expect(protections.length).toBeLessThanOrEqual(known + 1);
        known = protections.length;
        steps++;
        // A second time it cannot be taken back.
        expect(call.cancel(new Error('again'))).toBe(false);
      } while (call.advance());
      expect(steps).toBeGreaterThan(5);
      expect(() => call.finish()).toThrow('aborted');
      expect(stateOf(its)).toEqual(before);
    },
  );

  test('another call between two steps of taking one back comes after all of it', () => {
    const its = stage();
    const before = stateOf(its);
    const call = its.rig.monitor.monitorRangeInSteps({ root: its.root, ...RANGE });
    for (let step = 0; step < stepsUntilCommit('monitorRange'); step++) call.advance();
    call.cancel(new Error('aborted'));
    expect(stateOf(its)).toEqual(before);
    expect(call.advance()).toBe(false);
    expect(() => call.finish()).toThrow('aborted');
  });

  test('another call between two steps comes after all of it', () => {
    const steps = stepsOf('monitorRange');
    for (let stop = 1; stop < steps; stop++) {
      const its = stage();
      const before = stateOf(its);
      const call = its.rig.monitor.monitorRangeInSteps({ root: its.root, ...RANGE });
      for (let step = 0; step < stop; step++) call.advance();
      expect(its.rig.monitor.unmonitorRange({ root: its.root, ...RANGE })).toBe(true);
      expect(call.finish()).toBeUndefined();
      expect(stateOf(its)).toEqual(before);
    }
  });

  test('writes that are marked between two steps are in flight, and reported when their vCPU is processed (C3)', () => {
    const steps = stepsOf('monitorRange');
    for (let stop = 1; stop < steps; stop++) {
      const { rig, root } = stage();
      const call = rig.monitor.monitorRangeInSteps({ root, ...RANGE });
      for (let step = 0; step < stop; step++) call.advance();
      const va = FIRST + 111n * 4096n;
      const entryPa = rig.entry(root, va, 1);
      rig.monitor.markDirtyEntry(entryPa, 0, 1);
      call.finish();
      rig.poke(entryPa, 0n);
      expect(rig.monitor.processDirtyEntries(1)).toMatchObject([{ kind: 'page-out', va, vcpu: 1 }]);
      expect(rig.monitor.resync()).toEqual([]);
    }
  });

  test('a failure between two steps is the failure of the call, and leaves everything as it was (C9)', () => {
    const its = stage();
    const before = stateOf(its);
    const call = its.rig.monitor.monitorRangeInSteps({ root: its.root, ...RANGE });
    for (let step = 0; step < 4; step++) call.advance();
    its.rig.failing = 'read';
    // A query finishes the call, and is not the one that fails.
    expect(its.rig.monitor.monitoredTables()).toBe(before.tables);
    its.rig.failing = undefined;
    expect(() => call.finish()).toThrow('the source fails to read');
    expect(stateOf(its)).toEqual(before);
  });

  test('arguments are checked with the first step', () => {
    const { rig } = stage();
    const call = rig.monitor.monitorRangeInSteps({ root: 0x1000, va: 2n ** 47n, byteLength: 4096 });
    expect(call.advance()).toBe(false);
    expect(() => call.finish()).toThrow('not canonical');
  });

  test('the source must not advance a call that reads it', () => {
    const { rig, root } = stage();
    const call = rig.monitor.monitorRangeInSteps({ root, ...RANGE });
    rig.onSourceCall = () => call.advance();
    call.advance();
    rig.onSourceCall = undefined;
    expect(() => call.finish()).toThrow(expect.objectContaining({ code: 'nested-call' }));
  });
});
