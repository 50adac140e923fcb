import { describe, expect, test } from 'vitest';
import { notes, PWU, Rig } from './rig.ts';

const VA = 0x7f12_3456_7000n;

function watched(pages: number, options = {}) {
  const rig = new Rig(options);
  const root = rig.frame();
  for (let page = 0; page < pages; page++) {
    const va = VA + BigInt(page) * 4096n;
    rig.build(root, va, BigInt(0x5000 + page * 4096) | PWU);
    rig.monitor.monitor({ root, va });
  }
  return { rig, root, pte: rig.entry(root, VA, 1) };
}

describe('C5 a write is a byte range', () => {
  // Slots 0x167, 0x168 and 0x169 of the page table are watched.
  test.each([
    ['one byte at the entry', 0, 1, [0]],
    ['its last byte', 7, 1, [0]],
    ['one byte of the next', 8, 1, [1]],
    ['two bytes across two entries', 7, 2, [0, 1]],
    ['16 aligned bytes', 0, 16, [0, 1]],
    ['17 bytes', 0, 17, [0, 1, 2]],
    ['64 bytes from the middle of an entry', 4, 64, [0, 1, 2]],
    ['bytes before it', -8, 8, []],
    ['bytes that end in it', -3, 4, [0]],
    ['bytes behind them', 24, 100, []],
  ])('%s', (_, offset, byteLength, touched) => {
    const { rig, pte } = watched(3);
    expect(rig.monitor.markDirty(pte + offset, byteLength, 0, 0)).toBe(touched.length > 0);
    for (const slot of [0, 1, 2]) rig.poke(pte + slot * 8, 0n);
    const outs = touched.map((slot) => `out 0x7f123456${7 + slot}000 → 0x${5 + slot}000`);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(outs);
  });

  test('across two tables that lie side by side', () => {
    const rig = new Rig();
    const root = rig.frame();
    const last = 0x1ff000n; // the last slot of the first page table
    rig.build(root, last, 0x5000n | PWU);
    rig.build(root, last + 4096n, 0x6000n | PWU);
    const [a, b] = [rig.entry(root, last, 1), rig.entry(root, last + 4096n, 1)];
    expect(b - a).toBe(8);
    rig.monitor.monitor({ root, va: last });
    rig.monitor.monitor({ root, va: last + 4096n });
    expect(rig.monitor.markDirty(a + 6, 4, 0, 0)).toBe(true);
    rig.poke(a, 0n);
    rig.poke(b, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x1ff000 → 0x5000', 'out 0x200000 → 0x6000']);
  });

  test('across a watched table and one that is watched only after the trap (C1)', () => {
    const rig = new Rig();
    const root = rig.frame();
    const last = 0x1ff000n;
    rig.build(root, last, 0x5000n | PWU);
    rig.build(root, last + 4096n, 0x6000n | PWU);
    const [a, b] = [rig.entry(root, last, 1), rig.entry(root, last + 4096n, 1)];
    rig.monitor.monitor({ root, va: last });
    rig.monitor.markDirty(a + 6, 4, 0, 0);
    rig.monitor.monitor({ root, va: last + 4096n });
    rig.poke(a, 0n);
    rig.poke(b, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x1ff000 → 0x5000', 'out 0x200000 → 0x6000']);
  });

  test('a whole page at once, and more than a page', () => {
    const { rig, pte } = watched(3);
    const table = pte - (pte % 4096);
    expect(rig.monitor.markDirty(table - 4096, 3 * 4096, 0, 0)).toBe(true);
    for (let slot = 0; slot < 512; slot++) rig.poke(table + slot * 8, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toHaveLength(3);
  });

  // No store is that wide; a device's may be.
  test.each([
    [15, true],
    [16, true],
    [17, true],
    [100, true],
    [17, false],
  ])('%i frames behind a watched one, the last included: %s', (frames, isIncluded) => {
    const rig = new Rig();
    const root = rig.frame();
    const last = 0x1ff000n;
    rig.build(root, last, 0x5000n | PWU);
    for (let count = 1; count < frames; count++) rig.frame();
    rig.build(root, last + 4096n, 0x6000n | PWU);
    const [a, b] = [rig.entry(root, last, 1), rig.entry(root, last + 4096n, 1)];
    rig.monitor.monitor({ root, va: last });
    rig.monitor.monitor({ root, va: last + 4096n });
    const table = a - (a % 4096);
    const byteLength = b - (b % 4096) - table + (isIncluded ? 8 : 0);
    expect(byteLength).toBe(frames * 4096 + (isIncluded ? 8 : 0));
    expect(rig.monitor.markDirty(table, byteLength, 0, 0)).toBe(true);
    const marked = new Set<number>(rig.monitor.dump().marks.flatMap(({ entries }) => [...entries]));
    expect([marked.has(a), marked.has(b)]).toEqual([true, isIncluded]);
    rig.poke(a, 0n);
    rig.poke(b, 0n);
    const outs = ['out 0x1ff000 → 0x5000', 'out 0x200000 → 0x6000'];
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(isIncluded ? outs : outs.slice(0, 1));
  });

  test("a write of many frames beside the watched ones is nobody's", () => {
    const { rig, pte } = watched(1);
    const end = pte - (pte % 4096);
    expect(rig.monitor.markDirty(0, end - 0x8000, 0, 0)).toBe(false);
    expect(rig.monitor.markDirty(end + 4096, 0x4_0000, 0, 0)).toBe(false);
    expect(rig.monitor.dump().marks).toEqual([]);
  });

  test('entries of legacy paging are four bytes', () => {
    const rig = new Rig({ mode: '32-bit' });
    const root = rig.frame();
    for (const va of [0x1000n, 0x2000n]) {
      rig.build(root, va, 0x5000n | PWU);
      rig.monitor.monitor({ root, va });
    }
    const pte = rig.entry(root, 0x1000n, 1);
    expect(rig.monitor.markDirty(pte, 4, 0, 0)).toBe(true);
    rig.poke(pte, 0n);
    rig.poke(pte + 4, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x1000 → 0x5000']);
  });

  test('the answer is the same the first time and the tenth', () => {
    const { rig, pte } = watched(1);
    for (let time = 0; time < 10; time++) {
      expect(rig.monitor.markDirtyEntry(pte, 0, 0)).toBe(true);
      expect(rig.monitor.markDirtyEntry(pte + 7, 0, time)).toBe(true);
      expect(rig.monitor.markDirtyEntry(pte + 8, 0, 0)).toBe(false);
      expect(rig.monitor.markDirtyEntry(0x9_9999_9000, 0, 0)).toBe(false);
    }
    expect(rig.monitor.dump().marks[0]).toEqual({ vcpu: 0, entries: [pte, pte + 8] });
  });
});

describe('C6 one physical entry may serve many', () => {
  test('two roots that share the kernel half', () => {
    const rig = new Rig();
    const [first, second] = [rig.frame(), rig.frame()];
    const va = 0xffff_8880_1234_5000n;
    rig.build(first, va, 0x5000n | PWU);
    rig.poke(rig.slot(second, va, 4), rig.read(rig.slot(first, va, 4)));
    rig.monitor.monitor({ root: first, va, tag: 'first' });
    rig.monitor.monitor({ root: second, va, tag: 'second' });
    expect(rig.monitor.monitoredTables()).toBe(5);
    const events = rig.write(rig.entry(first, va, 1), 0n);
    expect(events.map(({ root, tags }) => [root, ...tags])).toEqual([
      [first, 'first'],
      [second, 'second'],
    ]);
    rig.monitor.unmonitor({ root: first, va });
    expect(rig.access(rig.entry(second, va, 1))).toBe(5);
  });

  test('two addresses through one page table', () => {
    const { rig, root, pte } = watched(1);
    const alias = VA + 0x4000_0000n;
    rig.build(root, alias, rig.read(rig.entry(root, VA, 2)), 2);
    rig.monitor.monitor({ root, va: alias });
    expect(notes(rig.write(pte, 0n))).toEqual(['out 0x7f1234567000 → 0x5000', 'out 0x7f1274567000 → 0x5000']);
  });

  test('one table at two levels', () => {
    // The PD of one address is the page table of another.
    const { rig, root } = watched(1);
    const directory = rig.entry(root, VA, 2);
    const other = (VA & ~0xff_ffff_ffffn) + ((VA >> 9n) & 0xf_ffff_f000n);
    rig.build(root, other, rig.read(rig.entry(root, VA, 3)), 2);
    rig.monitor.monitor({ root, va: other });
    const table = Number(rig.read(directory) & ~0xfffn);
    expect(rig.monitor.state({ root, va: other })!.pa).toBe(table);
    expect(notes(rig.write(directory, 0n)).sort()).toEqual(
      [`out 0x${other.toString(16)} → 0x${table.toString(16)}`, 'out 0x7f1234567000 → 0x5000'].sort(),
    );
  });

  test('a recursive self-map: one entry at every level of one walk', () => {
    const rig = new Rig();
    const root = rig.frame();
    const self = 0xffff_ffff_ffff_f000n; // slot 511 at every level
    const entry = rig.slot(root, self, 4);
    rig.poke(entry, BigInt(root) | PWU);
    rig.monitor.monitor({ root, va: self });
    expect(rig.monitor.state({ root, va: self })!.pa).toBe(root);
    expect([rig.monitor.monitoredTables(), rig.monitor.monitoredEntries()]).toEqual([1, 1]);
    expect(notes(rig.write(entry, 0n))).toEqual([`out 0x${self.toString(16)} → 0x${root.toString(16)}`]);
    expect(notes(rig.write(entry, BigInt(root) | PWU))).toHaveLength(1);
    const other = rig.frame();
    rig.poke(rig.slot(other, self, 1), 0x7000n | PWU);
    expect(notes(rig.write(entry, BigInt(other) | PWU))).toHaveLength(1);
    rig.monitor.unmonitor({ root, va: self });
    expect([rig.access(root), rig.access(other)]).toEqual([7, 7]);
  });

  test('the page tables seen through a self-map follow the tables themselves', () => {
    const { rig, root, pte } = watched(1);
    const recursive = 0xffff_8000_0000_0000n | (256n << 39n) | ((VA >> 9n) & 0x7f_ffff_f000n);
    rig.poke(rig.slot(root, recursive, 4), BigInt(root) | PWU);
    rig.monitor.monitor({ root, va: recursive });
    expect(rig.monitor.state({ root, va: recursive })!.pa).toBe(pte - (pte % 4096));
    const table = rig.frame();
    expect(rig.write(rig.entry(root, VA, 2), BigInt(table) | PWU).map(({ kind, pa }: any) => [kind, pa])).toEqual(
      expect.arrayContaining([
        ['page-out', 0x5000],
        ['page-out', pte - (pte % 4096)],
        ['page-in', table],
      ]),
    );
  });

  test('a write through one view is seen by every view of the table', () => {
    const { rig, root, pte } = watched(1, { views: 3 });
    rig.monitor.monitor({ root, va: VA, view: 2 });
    expect(rig.mark(pte, 0, 1)).toBe(true);
    rig.poke(pte, 0n);
    expect(rig.monitor.processDirtyEntries(0).map(({ view }) => view)).toEqual([0, 2]);
  });
});

describe('C8 the guest cannot break the monitor', () => {
  test('a root that is no memory is a state of the address', () => {
    const rig = new Rig();
    rig.monitor.monitor({ root: 0xdead_d000, va: VA });
    expect(rig.monitor.state({ root: 0xdead_d000, va: VA })!.pa).toBeNull();
    expect(rig.monitor.explain({ root: 0xdead_d000, va: VA }).walk).toMatchObject({ reason: 'no-memory', level: 4 });
    expect(rig.monitor.monitoredTables()).toBe(0);
    expect(rig.monitor.unmonitor({ root: 0xdead_d000, va: VA })).toBe(true);
  });

  test('a root that becomes memory is found by resync', () => {
    const rig = new Rig();
    const root = 0x10_0000;
    rig.monitor.monitor({ root, va: VA });
    expect(rig.frame()).toBe(root);
    rig.build(root, VA, 0x5000n | PWU);
    expect(notes(rig.monitor.resync())).toEqual(['in 0x7f1234567000 → 0x5000']);
    expect(rig.access(root)).toBe(5);
  });

  test.each([
    ['nothing', 0n],
    ['a table outside memory', 0xf_ffff_ffff_f007n],
    ['all ones', 0xffff_ffff_ffff_ffffn],
    ['bit 7 in a PML4 entry', 0x5087n],
    ['itself', 0x10_0007n],
    ['the highest bit', 1n << 63n],
  ])('the root entry becomes %s, and comes back', (_, garbage) => {
    const { rig, root } = watched(1);
    const entry = rig.entry(root, VA, 4);
    const value = rig.read(entry);
    const lost = rig.write(entry, garbage);
    expect(lost[0]).toMatchObject({ kind: 'page-out', pa: 0x5000 });
    rig.write(entry, value);
    expect(rig.monitor.state({ root, va: VA })!.pa).toBe(0x5000);
    rig.monitor.unmonitor({ root, va: VA });
    expect(rig.monitor.dump()).toMatchObject({ addresses: [], tables: [], marks: [] });
  });

  test('tables in a circle', () => {
    const rig = new Rig();
    const tables = [rig.frame(), rig.frame(), rig.frame()];
    tables.forEach((table, index) => {
      for (let slot = 0; slot < 512; slot++) rig.poke(table + slot * 8, BigInt(tables[(index + 1) % 3]!) | PWU);
    });
    for (const root of tables) rig.monitor.monitorRange({ root, va: VA, byteLength: 0x10_0000 });
    expect(rig.monitor.pagedInEntries()).toBe(3 * 256);
    expect(rig.monitor.monitoredTables()).toBe(3);
    rig.monitor.markDirty(tables[1]!, 4096, 0, 0);
    for (let slot = 0; slot < 512; slot++) rig.poke(tables[1]! + slot * 8, 0n);
    rig.monitor.processDirtyEntries(0);
    expect(rig.monitor.pagedInEntries()).toBe(0);
    rig.monitor.unmonitorAll();
    expect(tables.map((table) => rig.access(table))).toEqual([7, 7, 7]);
  });
});

describe('C10 a comparison', () => {
  test('of the entries above the page tables alone leaves the others for the next', () => {
    const { rig, root, pte } = watched(2);
    rig.poke(pte, 0n);
    expect(rig.monitor.resync(undefined, 'above')).toEqual([]);
    rig.poke(rig.entry(root, VA, 2), 0n);
    expect(notes(rig.monitor.resync(undefined, 'above'))).toEqual([
      'out 0x7f1234567000 → 0x5000',
      'out 0x7f1234568000 → 0x6000',
    ]);
    expect(rig.monitor.resync()).toEqual([]);
  });
});
