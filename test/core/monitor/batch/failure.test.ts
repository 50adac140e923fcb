import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../../src/core/error.ts';
import { READ_NOT_FETCHED, type PhysicalMemory } from '../../../../src/core/memory/physical-memory.ts';
import { PageTableMonitor } from '../../../../src/core/monitor/page-table-monitor.ts';
import { notes, PWU, Rig } from '../rig.ts';

const VA = 0x7f12_3456_7000n;

function built() {
  const rig = new Rig({ views: 2 });
  const root = rig.frame();
  rig.build(root, VA, 0x5000n | PWU);
  return { rig, root };
}

describe('C9 a call that fails leaves everything as it was', () => {
  test.each(['read', 'get', 'set'] as const)('monitor and monitorRange, when the source fails to %s', (what) => {
    const { rig, root } = built();
    rig.failing = what;
    expect(() => rig.monitor.monitor({ root, va: VA })).toThrow();
    expect(() => rig.monitor.monitorRange({ root, va: VA, byteLength: 0x40_0000 })).toThrow();
    expect(rig.monitor.dump()).toMatchObject({ addresses: [], ranges: [], tables: [], marks: [] });
    expect(rig.access(root)).toBe(7);
    rig.failing = undefined;
    rig.monitor.monitor({ root, va: VA });
    expect(rig.monitor.state({ root, va: VA })!.pa).toBe(0x5000);
  });

  test.each(['read', 'get', 'set'] as const)(
    'processDirtyEntries, when the source fails to %s: made again, it says all',
    (what) => {
      const { rig, root } = built();
      rig.monitor.monitor({ root, va: VA });
      const table = rig.frame();
      rig.poke(rig.slot(table, VA, 1), 0x9000n | PWU);
      const pde = rig.entry(root, VA, 2);
      rig.mark(pde);
      rig.poke(pde, BigInt(table) | PWU);
      const before = rig.monitor.dump();
      rig.failing = what;
      for (let time = 0; time < 3; time++) expect(() => rig.monitor.processDirtyEntries(0)).toThrow();
      expect(rig.monitor.dump()).toEqual(before);
      expect(rig.access(table)).toBe(7);
      rig.failing = undefined;
      expect(notes(rig.monitor.processDirtyEntries(0))).toEqual([
        'out 0x7f1234567000 → 0x5000',
        'in 0x7f1234567000 → 0x9000',
      ]);
    },
  );

  test('resync, when the source fails to read', () => {
    const { rig, root } = built();
    rig.monitor.monitor({ root, va: VA });
    rig.poke(rig.entry(root, VA, 1), 0n);
    rig.failing = 'read';
    expect(() => rig.monitor.resync()).toThrow();
    rig.failing = undefined;
    expect(notes(rig.monitor.resync())).toEqual(['out 0x7f1234567000 → 0x5000']);
  });

  test('a view that does not exist is refused by name', () => {
    const { rig, root } = built();
    rig.monitor.monitor({ root, va: VA });
    const before = rig.monitor.dump();
    expect(() => rig.monitor.monitor({ root, va: VA, view: 9 })).toThrow(
      expect.objectContaining({ code: 'no-such-view' }),
    );
    expect(rig.monitor.dump()).toEqual(before);
  });

  test('what cannot be restored is reported once, the rest goes on, and it is tried again', () => {
    const { rig, root } = built();
    rig.monitor.monitor({ root, va: VA });
    rig.failing = 'set';
    expect(rig.monitor.unmonitor({ root, va: VA })).toBe(true);
    expect(rig.monitor.dump()).toMatchObject({ addresses: [], tables: [] });
    expect(rig.faults).toHaveLength(4);
    for (const fault of rig.faults) {
      expect(fault).toBeInstanceOf(PtmonError);
      expect(fault.code).toBe('restore-failed');
      expect(fault.cause).toBeInstanceOf(Error);
    }
    expect(rig.faults.map((fault) => fault.facts.gfn)).toContain(root / 4096);
    rig.monitor.processDirtyEntries(0);
    expect(rig.faults).toHaveLength(4);
    rig.failing = undefined;
    expect(rig.monitor.processDirtyEntries(0)).toEqual([]);
    expect(rig.access(root)).toBe(7);
  });

  test('watched again before it could be restored, it is restored to what it first was', () => {
    const { rig, root } = built();
    rig.giveAccess(root, 6);
    rig.monitor.monitor({ root, va: VA });
    rig.failing = 'set';
    rig.monitor.unmonitor({ root, va: VA });
    rig.failing = undefined;
    rig.monitor.monitor({ root, va: VA });
    expect(rig.access(root)).toBe(4);
    rig.monitor.unmonitor({ root, va: VA });
    expect(rig.access(root)).toBe(6);
  });

  test('a listener that throws stops nothing', () => {
    const { rig, root } = built();
    const monitor = new PageTableMonitor({
      memory: rig.memory,
      protection: {
        getAccess: () => 7,
        setAccess: (_view, _gfn, access) => {
          if (access === 7) throw new Error('stuck');
        },
      },
      paging: { mode: '4-level' },
      onFault: () => {
        throw new Error('the listener fails');
      },
    });
    monitor.monitor({ root, va: VA });
    expect(monitor.unmonitor({ root, va: VA })).toBe(true);
    expect(monitor.dump().tables).toEqual([]);
  });
});

describe('C9 memory that is not here yet', () => {
  test('every call says what it misses, changes nothing, and works once that is fetched', () => {
    const { rig, root } = built();
    const fetched = new Set<number>();
    const memory: PhysicalMemory = {
      readEntry: (pa, byteLength, out) =>
        fetched.has(Math.floor(pa / 4096)) ? rig.memory.readEntry(pa, byteLength, out) : READ_NOT_FETCHED,
    };
    const monitor = new PageTableMonitor({ memory, paging: { mode: '4-level' } });
    const persist = <T>(call: () => T): [T, number] => {
      for (let tries = 1; ; tries++) {
        const before = monitor.dump();
        try {
          return [call(), tries];
        } catch (error) {
          expect(error).toMatchObject({ code: 'not-fetched' });
          expect(monitor.dump()).toEqual(before);
          const { missing } = (error as PtmonError).facts;
          expect(missing!.filter((pa) => fetched.has(Math.floor(pa / 4096)))).toEqual([]);
          for (const pa of missing!) fetched.add(Math.floor(pa / 4096));
        }
      }
    };
    expect(persist(() => monitor.monitor({ root, va: VA }))[1]).toBe(5);
    expect(monitor.state({ root, va: VA })!.pa).toBe(0x5000);

    const pte = rig.entry(root, VA, 1);
    monitor.markDirtyEntry(pte, 0, 0);
    rig.poke(pte, 0n);
    fetched.clear();
    const [events] = persist(() => monitor.processDirtyEntries(0));
    expect(notes(events)).toEqual(['out 0x7f1234567000 → 0x5000']);

    fetched.clear();
    rig.poke(pte, 0x6000n | PWU);
    const [found, tries] = persist(() => monitor.resync());
    expect(notes(found)).toEqual(['in 0x7f1234567000 → 0x6000']);
    // All that is monitored is known beforehand, and asked for at once.
    expect(tries).toBe(2);
  });
});

describe('C10 resync', () => {
  test('finds what nobody reported, at every level, and says it once', () => {
    const { rig, root } = built();
    rig.monitor.monitor({ root, va: VA });
    for (const level of [1, 2, 3, 4]) {
      const entry = rig.entry(root, VA, level);
      const value = rig.read(entry);
      rig.poke(entry, 0n);
      expect(notes(rig.monitor.resync())).toEqual(['out 0x7f1234567000 → 0x5000']);
      expect(rig.monitor.resync()).toEqual([]);
      rig.poke(entry, value);
      expect(notes(rig.monitor.resync())).toEqual(['in 0x7f1234567000 → 0x5000']);
    }
  });

  test('what went and came back between samples is unknown, and not invented', () => {
    const { rig, root } = built();
    rig.monitor.monitor({ root, va: VA });
    const pte = rig.entry(root, VA, 1);
    rig.poke(pte, 0n);
    rig.poke(pte, 0x5000n | PWU);
    expect(rig.monitor.resync()).toEqual([]);
  });

  test('of one view says nothing of another', () => {
    const { rig, root } = built();
    rig.monitor.monitor({ root, va: VA });
    rig.monitor.monitor({ root, va: VA, view: 1 });
    rig.poke(rig.entry(root, VA, 1), 0n);
    expect(rig.monitor.resync(1).map(({ view }) => view)).toEqual([1]);
    expect(rig.monitor.resync().map(({ view }) => view)).toEqual([0]);
  });

  test('a polled source: a new address begins with the truth, whatever its neighbours still believe', () => {
    const rig = new Rig({ protects: false });
    const root = rig.frame();
    rig.monitor.monitor({ root, va: VA });
    rig.build(root, VA, 0x5000n | PWU);
    rig.monitor.monitor({ root, va: VA + 4n });
    expect(rig.monitor.state({ root, va: VA + 4n })!.pa).toBe(0x5004);
    expect(rig.monitor.state({ root, va: VA })!.pa).toBeNull();
    expect(notes(rig.monitor.resync())).toEqual(['in 0x7f1234567000 → 0x5000']);
  });
});

describe('C9 a source that sets access and fails afterwards', () => {
  test.each([1, 2, 3])('the original access is restored, the source failing in call %i', (failing) => {
    const { rig, root } = built();
    const table = Math.floor(rig.entry(root, VA, 1) / 4096) * 4096;
    const call = (which: number, act: () => unknown) => {
      rig.failing = which === failing ? 'late' : undefined;
      if (which === failing && which !== 2) expect(act).toThrow('after it has set');
      else act();
      rig.failing = undefined;
    };
    call(1, () => rig.monitor.monitor({ root, va: VA }));
    if (failing === 1) rig.monitor.monitor({ root, va: VA });
    expect(rig.access(table)).toBe(5);
    call(2, () => rig.monitor.unmonitor({ root, va: VA }));
    call(3, () => rig.monitor.monitorRange({ root, va: VA, byteLength: 4096 }));
    if (failing === 3) rig.monitor.monitorRange({ root, va: VA, byteLength: 4096 });
    expect(rig.monitor.dump().tables.map(({ capturedAccess }) => capturedAccess)).toEqual([7, 7, 7, 7]);
    rig.monitor.unmonitorAll();
    expect(rig.restricted()).toEqual([]);
  });

  test('a frame that stays read-only is restored at the next call', () => {
    const { rig, root } = built();
    let failures = 2;
    rig.beforeProtect = () => {
      if (failures-- > 0) rig.failing = 'late';
    };
    expect(() => rig.monitor.monitor({ root, va: VA })).toThrow();
    rig.failing = undefined;
    rig.beforeProtect = undefined;
    rig.monitor.unmonitorAll();
    expect(rig.restricted()).toEqual([]);
    rig.monitor.monitor({ root, va: VA });
    expect(rig.monitor.dump().tables.map(({ capturedAccess }) => capturedAccess)).toEqual([7, 7, 7, 7]);
  });
});
