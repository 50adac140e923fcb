import { describe, expect, test } from 'vitest';
import { notes, PWU, Rig } from '../rig.ts';

const VA = 0x7f12_3456_7000n;
const ADDRESS = 0xf_ffff_ffff_f000n;

function built(options = {}) {
  const rig = new Rig(options);
  const root = rig.frame();
  rig.build(root, VA, 0x5000n | PWU);
  const tables = [4, 3, 2].map((level) => Number(rig.read(rig.entry(root, VA, level)) & ADDRESS));
  return { rig, root, tables: [root, ...tables] };
}

describe('C2 the protected tables are those on some present walk', () => {
  test('all four, and no more, while the address is mapped; fewer as the walk gets shorter', () => {
    const { rig, root, tables } = built();
    rig.monitor.monitor({ root, va: VA });
    expect(tables.map((table) => rig.access(table))).toEqual([5, 5, 5, 5]);
    expect(rig.monitor.monitoredTables()).toBe(4);
    expect(rig.monitor.monitoredEntries()).toBe(4);

    rig.write(rig.entry(root, VA, 3), 0n);
    expect(tables.map((table) => rig.access(table))).toEqual([5, 5, 7, 7]);
    expect(rig.monitor.monitoredTables()).toBe(2);
    expect(rig.monitor.monitoredEntries()).toBe(2);
    expect(rig.monitor.pagedInEntries()).toBe(0);
  });

  test.each([7, 6, 5, 3, 1, 0])('an access of %i comes back as it was, and never wider', (access) => {
    const { rig, root, tables } = built();
    for (const table of tables) rig.giveAccess(table, access);
    rig.monitor.monitor({ root, va: VA });
    expect(tables.map((table) => rig.access(table))).toEqual(tables.map(() => access & 5));
    expect(rig.monitor.dump().tables.map((table) => table.capturedAccess)).toEqual([access, access, access, access]);
    rig.monitor.unmonitor({ root, va: VA });
    expect(tables.map((table) => rig.access(table))).toEqual(tables.map(() => access));
  });

  test('a table is held until its last watched entry goes', () => {
    const { rig, root, tables } = built();
    rig.monitor.monitor({ root, va: VA });
    rig.monitor.monitor({ root, va: VA + 4096n });
    rig.monitor.unmonitor({ root, va: VA });
    expect(rig.access(tables[3]!)).toBe(5);
    rig.monitor.unmonitor({ root, va: VA + 4096n });
    expect(tables.map((table) => rig.access(table))).toEqual([7, 7, 7, 7]);
  });

  test('views are protected apart', () => {
    const { rig, root, tables } = built({ views: 2 });
    rig.monitor.monitor({ root, va: VA, view: 1 });
    expect(tables.map((table) => [rig.access(table, 0), rig.access(table, 1)])).toEqual(tables.map(() => [7, 5]));
    rig.monitor.monitor({ root, va: VA, view: 0 });
    rig.monitor.unmonitor({ root, va: VA, view: 1 });
    expect(tables.map((table) => [rig.access(table, 0), rig.access(table, 1)])).toEqual(tables.map(() => [5, 7]));
  });

  test('a view that no longer exists is not an error', () => {
    const { rig, root, tables } = built({ views: 2 });
    rig.monitor.monitor({ root, va: VA });
    rig.monitor.monitor({ root, va: VA, view: 1 });
    rig.destroyView(1);
    expect(notes(rig.write(rig.entry(root, VA, 1), 0n))).toHaveLength(2);
    const table = rig.frame();
    rig.poke(rig.slot(table, VA, 1), 0x6000n | PWU);
    rig.write(rig.entry(root, VA, 2), BigInt(table) | PWU);
    rig.monitor.unmonitorView(1);
    rig.monitor.unmonitor({ root, va: VA });
    expect(rig.faults).toEqual([]);
    expect(rig.monitor.dump()).toMatchObject({ addresses: [], tables: [] });
    expect([...tables, table].map((each) => rig.access(each))).toEqual([7, 7, 7, 7, 7]);
  });

  test('a table outside memory is on no walk', () => {
    const rig = new Rig();
    const root = rig.frame();
    rig.poke(rig.slot(root, VA, 4), 0x9_9999_9000n | PWU);
    rig.monitor.monitor({ root, va: VA });
    expect(rig.monitor.monitoredTables()).toBe(1);
    expect(rig.access(0x9_9999_9000)).toBe(7);
  });

  test('without protection there is nothing to restore, and everything else is the same', () => {
    const { rig, root } = built({ protects: false });
    rig.monitor.monitor({ root, va: VA });
    expect(rig.protections).toEqual([]);
    expect(rig.monitor.dump().tables.map((table) => table.capturedAccess)).toEqual([null, null, null, null]);
    expect(notes(rig.write(rig.entry(root, VA, 1), 0n))).toEqual(['out 0x7f1234567000 → 0x5000']);
  });
});

describe('C3 no write is lost between the reading of an entry and the protection of its table', () => {
  test.each([4, 3, 2, 1])('while an address is monitored, another vCPU writes its entry of level %i', (level) => {
    const { rig, root } = built();
    const entry = rig.entry(root, VA, level);
    rig.beforeProtect = (gfn) => {
      if (gfn === Math.floor(entry / 4096)) rig.poke(entry, 0n);
    };
    rig.monitor.monitor({ root, va: VA });
    expect(rig.monitor.state({ root, va: VA })?.pa).toBeNull();
  });

  test('while a walk moves to a new table, another vCPU fills it', () => {
    const { rig, root } = built();
    rig.monitor.monitor({ root, va: VA });
    const table = rig.frame();
    rig.beforeProtect = (gfn) => {
      if (gfn === table / 4096) rig.poke(rig.slot(table, VA, 1), 0x8000n | PWU);
    };
    expect(notes(rig.write(rig.entry(root, VA, 2), BigInt(table) | PWU))).toEqual([
      'out 0x7f1234567000 → 0x5000',
      'in 0x7f1234567000 → 0x8000',
    ]);
  });

  test('while a range is monitored, a whole table is exchanged', () => {
    const { rig, root, tables } = built();
    const other = rig.frame();
    for (let slot = 0; slot < 512; slot++) rig.poke(other + slot * 8, BigInt(0x100_0000 + slot * 4096) | PWU);
    rig.beforeProtect = (gfn) => {
      if (gfn === tables[2]! / 4096) rig.poke(rig.entry(root, VA, 2), BigInt(other) | PWU);
    };
    rig.monitor.monitorRange({ root, va: VA - 0x2000n, byteLength: 0x4000 });
    expect(rig.monitor.state({ root, va: VA })?.pa).toBe(0x100_0000 + 0x167 * 4096);
    expect(rig.monitor.pagedInEntries()).toBe(4);
    expect(rig.access(tables[3]!)).toBe(7);
    expect(rig.access(other)).toBe(5);
  });
});
