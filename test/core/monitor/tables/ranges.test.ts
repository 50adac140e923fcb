import { describe, expect, test } from 'vitest';
import type { MonitorEvent } from '../../../../src/core/monitor/events.ts';
import { notes, PS, PWU, Rig } from '../rig.ts';

const VA = 0x7f12_3450_0000n;

/** `pages` pages from VA on, mapped one after the other from 0x100000000 on. */
function built(pages: number, options = {}) {
  const rig = new Rig(options);
  const root = rig.frame();
  for (let page = 0n; page < pages; page++) rig.build(root, VA + page * 4096n, (0x1_0000_0000n + page * 4096n) | PWU);
  return { rig, root, monitor: rig.monitor };
}

const addresses = (events: readonly MonitorEvent[]) => events.map((event) => Number((event.va - VA) / 4096n));

describe('R2 a range is every page that it touches', () => {
  test.each([
    ['one byte', 0n, 1, [0]],
    ['a page', 0n, 4096, [0]],
    ['a page and a byte', 0n, 4097, [0, 1]],
    ['two bytes across a border', 0xfffn, 2, [0, 1]],
    ['the middle of a page', 0x1234n, 16, [1]],
  ])('%s', (_, offset, byteLength, pages) => {
    const { rig, root, monitor } = built(4);
    monitor.monitorRange({ root, va: VA + offset, byteLength, tag: 'r' });
    rig.write(rig.entry(root, VA, 2), 0n);
    const events = rig.write(rig.entry(root, VA, 2), 0x10_3007n);
    expect(addresses(events)).toEqual(pages);
    expect(events.every(({ tags }) => tags.length === 1 && tags[0] === 'r')).toBe(true);
    for (const page of pages) {
      expect(monitor.state({ root, va: VA + BigInt(page) * 4096n })).toMatchObject({ references: 1, tags: ['r'] });
    }
    expect(monitor.pagedInEntries()).toBe(pages.length);
  });

  test('only the slots that it covers are monitored', () => {
    const { rig, root, monitor } = built(16);
    monitor.monitorRange({ root, va: VA + 0x3000n, byteLength: 0x2000 });
    expect(monitor.monitoredEntries()).toBe(3 + 2);
    const table = rig.entry(root, VA, 1);
    expect([2, 3, 4, 5].map((slot) => rig.mark(table + slot * 8))).toEqual([false, true, true, false]);
  });

  test('across page tables and directories, with holes', () => {
    const rig = new Rig();
    const root = rig.frame();
    const border = 0x40_0000_0000n;
    for (const offset of [-0x20_0000n, -0x1000n, 0n, 0x3f_f000n]) rig.build(root, border + offset, 0x5000n | PWU);
    rig.monitor.monitorRange({ root, va: border - 0x40_0000n, byteLength: 0x80_0000 });
    expect(rig.monitor.pagedInEntries()).toBe(4);
    expect(notes(rig.write(rig.entry(root, border, 3), 0n))).toEqual([
      'out 0x4000000000 → 0x5000',
      'out 0x40003ff000 → 0x5000',
    ]);
    const hole = border - 0x30_0000n;
    const table = rig.frame();
    rig.poke(rig.slot(table, hole, 1), 0x6000n | PWU);
    expect(notes(rig.write(rig.entry(root, hole, 2), BigInt(table) | PWU))).toEqual(['in 0x3fffd00000 → 0x6000']);
  });

  test('a large leaf is in and out page by page', () => {
    const { rig, root, monitor } = built(1);
    const pde = rig.entry(root, VA, 2);
    rig.write(pde, 0n);
    monitor.monitorRange({ root, va: VA, byteLength: 0x3000 });
    expect(notes(rig.write(pde, 0x4000_0000n | PWU | PS))).toEqual([
      'in 0x7f1234500000 → 0x40100000',
      'in 0x7f1234501000 → 0x40101000',
      'in 0x7f1234502000 → 0x40102000',
    ]);
  });

  test('a page watched singly and by a range is one address: one event, all tags, in the order in which they were given', () => {
    const { rig, root, monitor } = built(3);
    monitor.monitorRange({ root, va: VA, byteLength: 0x3000, tag: 'range' });
    monitor.monitor({ root, va: VA + 0x1000n, tag: 'single' });
    monitor.monitor({ root, va: VA + 0x1008n, tag: 'inside' });
    expect(monitor.state({ root, va: VA + 0x1000n })).toMatchObject({ tags: ['range', 'single'], references: 2 });
    const events = rig.write(rig.entry(root, VA + 0x1000n, 1), 0n);
    expect(events.map(({ va, tags }) => [va - VA, ...tags])).toEqual([
      [0x1000n, 'range', 'single'],
      [0x1008n, 'inside'],
    ]);
    expect(monitor.unmonitor({ root, va: VA + 0x1000n })).toBe(true);
    expect(monitor.state({ root, va: VA + 0x1000n })).toMatchObject({ tags: ['range'], references: 1 });
  });

  test.each([
    [['single', 'range']],
    [['range', 'single']],
    [['range', 'single', 'other', 'last']],
    [['single', 'range', 'last', 'other']],
    [['other', 'range', 'last', 'single']],
  ])('R4 tags of both kinds come in the order in which they were given: %s', (order) => {
    const { rig, root, monitor } = built(3);
    const va = VA + 0x1000n;
    const give = (tag: string) =>
      tag === 'range' || tag === 'last'
        ? monitor.monitorRange({ root, va: VA, byteLength: 0x3000, tag })
        : monitor.monitor({ root, va, tag });
    for (const tag of order) give(tag);
    expect(monitor.state({ root, va })!.tags).toEqual(order);
    expect(rig.write(rig.entry(root, va, 1), 0n)[0]!.tags).toEqual(order);
    monitor.unmonitor({ root, va, tag: 'single' });
    give('single');
    expect(monitor.state({ root, va })!.tags).toEqual([...order.filter((tag) => tag !== 'single'), 'single']);
  });

  test('R4 neighbours that two calls watched are one piece, unless a single watch came between them', () => {
    const { root, monitor } = built(4);
    monitor.monitorRange({ root, va: VA, byteLength: 0x2000, tag: 'range' });
    monitor.monitor({ root, va: VA + 0x2000n, tag: 'single' });
    monitor.monitor({ root, va: VA + 0x2000n, tag: 'again' });
    monitor.monitorRange({ root, va: VA + 0x2000n, byteLength: 0x2000, tag: 'range' });
    expect(monitor.state({ root, va: VA + 0x2000n })!.tags).toEqual(['single', 'again', 'range']);
  });

  test('ranges overlap, and each is released by itself', () => {
    const { rig, root, monitor } = built(8);
    monitor.monitorRange({ root, va: VA, byteLength: 0x5000, tag: 'a' });
    monitor.monitorRange({ root, va: VA + 0x3000n, byteLength: 0x5000, tag: 'b' });
    const table = rig.entry(root, VA, 1);
    const tags = () => [0, 3, 4, 5, 7].map((page) => monitor.state({ root, va: VA + BigInt(page) * 4096n })?.tags);
    expect(tags()).toEqual([['a'], ['a', 'b'], ['a', 'b'], ['b'], ['b']]);
    expect(monitor.unmonitorRange({ root, va: VA, byteLength: 0x5000, tag: 'a' })).toBe(true);
    expect(tags()).toEqual([undefined, ['b'], ['b'], ['b'], ['b']]);
    expect(rig.mark(table)).toBe(false);
    expect(monitor.unmonitorRange({ root, va: VA, byteLength: 0x5000, tag: 'a' })).toBe(false);
    expect(monitor.unmonitorRange({ root, va: VA, byteLength: 0x8000 })).toBe(true);
    expect(monitor.dump()).toMatchObject({ ranges: [], tables: [] });
  });

  test('one page is cut out of a range', () => {
    const { rig, root, monitor } = built(4);
    monitor.monitorRange({ root, va: VA, byteLength: 0x4000 });
    expect(monitor.unmonitor({ root, va: VA + 0x1000n })).toBe(true);
    expect(monitor.dump().ranges.map(({ va, byteLength }) => [va - VA, byteLength])).toEqual([
      [0n, 0x1000n],
      [0x2000n, 0x2000n],
    ]);
    rig.monitor.markDirty(rig.entry(root, VA, 1), 32, 0, 0);
    for (const page of [0n, 1n, 2n, 3n]) rig.poke(rig.entry(root, VA + page * 4096n, 1), 0n);
    expect(addresses(monitor.processDirtyEntries(0))).toEqual([0, 2, 3]);
  });
});

describe('R2 runs', () => {
  test('neighbours that change alike are one event', () => {
    const { rig, root, monitor } = built(64);
    monitor.monitorRange({ root, va: VA, byteLength: 64 * 4096, runs: true });
    const pde = rig.entry(root, VA, 2);
    const value = rig.read(pde);
    expect(notes(rig.write(pde, 0n))).toEqual(['out 0x7f1234500000 ×64 → 0x100000000']);
    expect(notes(rig.write(pde, value))).toEqual(['in 0x7f1234500000 ×64 → 0x100000000']);
  });

  test('a gap in either address space ends a run', () => {
    const { rig, root, monitor } = built(6);
    rig.poke(rig.entry(root, VA + 0x2000n, 1), 0n);
    rig.poke(rig.entry(root, VA + 0x4000n, 1), 0x9_0000_0000n | PWU);
    monitor.monitorRange({ root, va: VA, byteLength: 6 * 4096, runs: true });
    expect(notes(rig.write(rig.entry(root, VA, 2), 0n))).toEqual([
      'out 0x7f1234500000 ×2 → 0x100000000',
      'out 0x7f1234503000 → 0x100003000',
      'out 0x7f1234504000 → 0x900000000',
      'out 0x7f1234505000 → 0x100005000',
    ]);
  });

  test('moved as a whole: the run goes out, then comes in', () => {
    const { rig, root, monitor } = built(3);
    monitor.monitorRange({ root, va: VA, byteLength: 3 * 4096, runs: true });
    const table = rig.frame();
    for (const page of [0n, 1n, 2n]) rig.poke(rig.slot(table, VA + page * 4096n, 1), (0x8000n + page * 4096n) | PWU);
    expect(notes(rig.write(rig.entry(root, VA, 2), BigInt(table) | PWU))).toEqual([
      'out 0x7f1234500000 ×3 → 0x100000000',
      'in 0x7f1234500000 ×3 → 0x8000',
    ]);
  });

  test('one wide write to the page table is one run', () => {
    const { rig, root, monitor } = built(8);
    monitor.monitorRange({ root, va: VA, byteLength: 8 * 4096, runs: true });
    const table = rig.entry(root, VA, 1);
    monitor.markDirty(table, 64, 0, 0);
    for (let slot = 0; slot < 8; slot++) rig.poke(table + slot * 8, 0n);
    expect(notes(monitor.processDirtyEntries(0))).toEqual(['out 0x7f1234500000 ×8 → 0x100000000']);
  });

  test('shared by two roots, each has its run', () => {
    const { rig, root, monitor } = built(8);
    const other = rig.frame();
    rig.poke(rig.slot(other, VA, 4), rig.read(rig.slot(root, VA, 4)));
    for (const each of [root, other]) monitor.monitorRange({ root: each, va: VA, byteLength: 8 * 4096, runs: true });
    const table = rig.entry(root, VA, 1);
    monitor.markDirty(table, 64, 0, 0);
    for (let slot = 0; slot < 8; slot++) rig.poke(table + slot * 8, 0n);
    expect(notes(monitor.processDirtyEntries(0))).toEqual([
      'out 0x7f1234500000 ×8 → 0x100000000',
      'out 0x7f1234500000 ×8 → 0x100000000',
    ]);
  });
});

describe('R2 the cost is per mapped page, not per walk and not per hole', () => {
  test('the whole lower half, mostly unmapped', () => {
    const { rig, root, monitor } = built(4);
    const started = performance.now();
    monitor.monitorRange({ root, va: 0, byteLength: 1n << 47n, tag: 'everything' });
    expect(monitor.pagedInEntries()).toBe(4);
    const reads = rig.reads;
    expect(reads).toBeLessThan(5000);
    const pde = rig.entry(root, VA, 2);
    expect(rig.write(pde, 0n)).toHaveLength(4);
    expect(rig.reads - reads).toBeLessThan(20);
    expect(rig.write(pde, 0x10_3007n)).toHaveLength(4);
    monitor.monitor({ root, va: VA + 5n });
    expect(monitor.unmonitor({ root, va: VA })).toBe(true);
    expect(monitor.unmonitorRange({ root, va: 0, byteLength: 1n << 47n })).toBe(true);
    monitor.unmonitor({ root, va: VA + 5n });
    expect(monitor.dump()).toMatchObject({ addresses: [], ranges: [], tables: [] });
    // Milliseconds where it is right, minutes where it is not.
    expect(performance.now() - started).toBeLessThan(5000);
  });

  test('a 1 GiB leaf under a range with runs comes and goes as one event', () => {
    const { rig, root, monitor } = built(1);
    const pdpte = rig.entry(root, VA, 3);
    rig.write(pdpte, 0n);
    const base = VA & ~0x3fff_ffffn;
    monitor.monitorRange({ root, va: base, byteLength: 0x4000_0000, runs: true });
    const started = performance.now();
    const events = rig.write(pdpte, 0x8000_0000n | PWU | PS);
    expect(events).toMatchObject([
      { kind: 'page-in', va: base, pa: 0x8000_0000, pages: 0x4_0000, pageSize: 0x4000_0000 },
    ]);
    expect(rig.write(pdpte, 0n)).toMatchObject([{ kind: 'page-out', pages: 0x4_0000 }]);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});

describe('R2 pages that are held alike are one piece', () => {
  const pagesOf = ({ monitor }: Rig) =>
    monitor.dump().ranges.map(({ va, byteLength, tags }) => [va, Number(byteLength) / 4096, ...tags]);

  test('cut apart by a release, and joined by the next', () => {
    const rig = new Rig();
    const root = rig.frame();
    const range = { root, va: 0x10000n };
    rig.monitor.monitorRange({ ...range, byteLength: 0x8000, tag: 'a' });
    rig.monitor.monitorRange({ ...range, byteLength: 0x8000, tag: 'a' });
    expect(pagesOf(rig)).toEqual([[0x10000n, 8, 'a']]);
    rig.monitor.unmonitor({ root, va: 0x13000n });
    expect(pagesOf(rig).map(([, pages]) => pages)).toEqual([3, 1, 4]);
    rig.monitor.unmonitorRange({ ...range, byteLength: 0x3000 });
    expect(pagesOf(rig).map(([, pages]) => pages)).toEqual([4, 4]);
    rig.monitor.unmonitorRange({ root, va: 0x14000n, byteLength: 0x4000 });
    expect(pagesOf(rig)).toEqual([[0x10000n, 8, 'a']]);
  });

  test.each([
    ['other tags', [{ tag: 'a' }, { tag: 'b' }], 2],
    ['no tag beside one', [{ tag: 'a' }, {}], 2],
    ['page by page beside runs', [{ runs: true }, {}], 2],
    [
      'the same',
      [
        { tag: 'a', runs: true },
        { tag: 'a', runs: true },
      ],
      1,
    ],
  ])('neighbours with %s', (_, [first, second], pieces) => {
    const rig = new Rig();
    const root = rig.frame();
    rig.monitor.monitorRange({ root, va: 0x1000, byteLength: 0x1000, ...first });
    rig.monitor.monitorRange({ root, va: 0x2000, byteLength: 0x1000, ...second });
    expect(pagesOf(rig)).toHaveLength(pieces);
  });

  test('the last page of the lower half and the first of the upper are no neighbours', () => {
    const rig = new Rig();
    const root = rig.frame();
    rig.monitor.monitorRange({ root, va: 0x7fff_ffff_f000n, byteLength: 0x1000 });
    rig.monitor.monitorRange({ root, va: 0xffff_8000_0000_0000n, byteLength: 0x1000 });
    expect(pagesOf(rig)).toEqual([
      [0x7fff_ffff_f000n, 1],
      [0xffff_8000_0000_0000n, 1],
    ]);
  });

  test('a call that fails beside a piece leaves that piece as it was (C9)', () => {
    const rig = new Rig();
    const root = rig.frame();
    for (const va of [0x1000n, 0x5000n]) rig.build(root, va, 0x5000n | PWU);
    rig.monitor.monitorRange({ root, va: 0x1000, byteLength: 0x3000 });
    const before = rig.monitor.dump();
    rig.failing = 'read';
    expect(() => rig.monitor.monitorRange({ root, va: 0x4000, byteLength: 0x3000 })).toThrow();
    rig.failing = undefined;
    expect(rig.monitor.dump()).toEqual(before);
    rig.monitor.monitorRange({ root, va: 0x4000, byteLength: 0x3000 });
    expect(pagesOf(rig)).toEqual([[0x1000n, 6]]);
  });
});
