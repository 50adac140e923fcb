/** Leaves of 1 GiB under ranges: what one entry costs does not depend on how many pages it maps (rule C8). */
import { describe, expect, test } from 'vitest';
import type { MonitorEvent } from '../../../../src/core/monitor/events.ts';
import { PS, PWU, Rig } from '../rig.ts';

const GIB = 2n ** 30n;
const GIB_PAGES = 2 ** 18;
const OTHER = 3;
const LEAF = PWU | PS;

/** A PDPT that has no entry yet, and a range over all of it. */
function stage(runs: boolean, maxRangePages = 2 ** 16) {
  const rig = new Rig({ maxRangePages });
  const root = rig.frame();
  const pdpt = rig.frame();
  rig.poke(root, BigInt(pdpt) | PWU);
  // Another page, which a write of vCPU 0 touches.
  rig.build(root, 1n << 39n, 0x5000n | PWU);
  rig.monitor.monitor({ root, va: 1n << 39n, tag: 'far' });
  rig.monitor.monitorRange({ root, va: 0, byteLength: 512n * GIB, runs, tag: 'range' });
  return { rig, root, pdpt };
}

type Stage = ReturnType<typeof stage>;

/** The other vCPU has written leaves to each slot, at some distance from each other, and is not processed. */
function fill({ rig, pdpt }: Stage): void {
  rig.monitor.markDirty(pdpt, 4096, 0, OTHER);
  for (let slot = 0n; slot < 512n; slot++) rig.poke(pdpt + 8 * Number(slot), (2n * slot * GIB) | LEAF);
}

/** A write of vCPU 0, which also reads what the other one has marked. */
function disturb({ rig, root }: Stage): void {
  const entryPa = rig.entry(root, 1n << 39n, 4);
  rig.monitor.markDirtyEntry(entryPa, 0, 0);
  expect(rig.monitor.processDirtyEntries(0)).toEqual([]);
}

const pagesOf = (events: readonly MonitorEvent[]) =>
  events.reduce((sum, event) => sum + ('pages' in event ? event.pages : 0), 0);

describe('a table of leaves of 1 GiB', () => {
  test('in a range with runs: an event each', () => {
    const its = stage(true);
    fill(its);
    const events = its.rig.monitor.processDirtyEntries(OTHER);
    expect(events).toHaveLength(512);
    expect(pagesOf(events)).toBe(512 * GIB_PAGES);
  });

  test('moved by another vCPU that is not processed: as much work as there are leaves', () => {
    const its = stage(true);
    fill(its);
    disturb(its);
    // Nothing has been reported of them.
    expect(its.rig.monitor.state({ root: its.root, va: 5n * GIB + 0x7000n })).toMatchObject({ pa: null });
    expect(its.rig.monitor.pagedInEntries()).toBe(1);
    const events = its.rig.monitor.processDirtyEntries(OTHER);
    expect(events).toHaveLength(512);
    expect(pagesOf(events)).toBe(512 * GIB_PAGES);
    expect(events[5]).toMatchObject({
      kind: 'page-in',
      va: 5n * GIB,
      pa: Number(10n * GIB),
      vcpu: OTHER,
      tags: ['range'],
    });
    expect(its.rig.monitor.resync()).toEqual([]);
    expect(its.rig.monitor.pagedInEntries()).toBe(512 * GIB_PAGES + 1);
  });

  test('in a range without runs: page by page up to an eighth of maxRangePages, then in runs', () => {
    const its = stage(false, 2 ** 12);
    fill(its);
    const events = its.rig.monitor.processDirtyEntries(OTHER);
    expect(pagesOf(events)).toBe(512 * GIB_PAGES);
    expect(events.slice(0, 512).every((event) => 'pages' in event && event.pages === 1)).toBe(true);
    expect(events.length).toBeLessThan(512 + 520);
    expect(its.rig.monitor.resync()).toEqual([]);
  });

  test('the same, moved by another vCPU', () => {
    const its = stage(false, 2 ** 12);
    fill(its);
    disturb(its);
    const events = its.rig.monitor.processDirtyEntries(OTHER);
    expect(pagesOf(events)).toBe(512 * GIB_PAGES);
    expect(events.length).toBeLessThan(512 + 520);
  });
});

describe('a part of a leaf that another vCPU has moved', () => {
  const MIDDLE = 7n * GIB + 0x1234_5000n;

  test('is watched singly: it keeps what was reported, and gets an event with both tags', () => {
    const its = stage(true);
    const { rig, root } = its;
    fill(its);
    disturb(its);
    rig.monitor.monitor({ root, va: MIDDLE, tag: 'single' });
    expect(rig.monitor.state({ root, va: MIDDLE })).toMatchObject({ pa: null, tags: ['range', 'single'] });
    const events = rig.monitor.processDirtyEntries(OTHER);
    expect(events.filter(({ tags }) => tags.includes('single'))).toMatchObject([
      { kind: 'page-in', va: MIDDLE, pa: Number(MIDDLE + 7n * GIB), tags: ['range', 'single'] },
    ]);
    expect(pagesOf(events)).toBe(512 * GIB_PAGES);
    expect(rig.monitor.resync()).toEqual([]);
  });

  test('is released: the rest is reported', () => {
    const its = stage(true);
    const { rig, root } = its;
    fill(its);
    disturb(its);
    rig.monitor.unmonitorRange({ root, va: MIDDLE, byteLength: 0x3000 });
    rig.monitor.unmonitorRange({ root, va: 0, byteLength: 2n * GIB + 0x5000n });
    const events = rig.monitor.processDirtyEntries(OTHER);
    expect(pagesOf(events)).toBe(510 * GIB_PAGES - 5 - 3);
    expect(
      events.some((event) => event.va <= MIDDLE && 'pages' in event && event.va + BigInt(event.pages) * 4096n > MIDDLE),
    ).toBe(false);
    expect(rig.monitor.resync()).toEqual([]);
  });

  test('moves again with the leaf: one page-in, with the first old and the last new value as its cause', () => {
    const its = stage(true);
    const { rig, pdpt } = its;
    fill(its);
    disturb(its);
    rig.monitor.markDirtyEntry(pdpt + 8, 0, OTHER);
    rig.poke(pdpt + 8, (5000n * GIB) | LEAF);
    disturb(its);
    const events = rig.monitor.processDirtyEntries(OTHER);
    const moved = events.filter(({ va }) => va >= GIB && va < 2n * GIB);
    expect(moved).toMatchObject([
      {
        kind: 'page-in',
        va: GIB,
        pa: Number(5000n * GIB),
        pages: GIB_PAGES,
        cause: { oldValue: 0n, newValue: (5000n * GIB) | LEAF },
      },
    ]);
    expect(pagesOf(events)).toBe(512 * GIB_PAGES);
  });

  test('gets a table of its own: each page is right', () => {
    const its = stage(true, 2 ** 20);
    const { rig, root, pdpt } = its;
    fill(its);
    disturb(its);
    const directory = rig.frame();
    rig.monitor.markDirtyEntry(pdpt + 8, 0, OTHER);
    // One 2 MiB leaf where the 1 GiB leaf led, one elsewhere.
    rig.poke(directory, (2n * GIB) | LEAF);
    rig.poke(directory + 8, 0x4000_0000n | LEAF);
    rig.poke(pdpt + 8, BigInt(directory) | PWU);
    disturb(its);
    expect(rig.monitor.state({ root, va: GIB + 0x3000n })).toMatchObject({ pa: null });
    const events = rig.monitor.processDirtyEntries(OTHER).filter(({ va }) => va >= GIB && va < 2n * GIB);
    expect(events).toMatchObject([
      { kind: 'page-in', va: GIB, pa: Number(2n * GIB), pages: 512, pageSize: 2 ** 21 },
      { kind: 'page-in', va: GIB + 0x20_0000n, pa: 0x4000_0000, pages: 512, pageSize: 2 ** 21 },
    ]);
    expect(rig.monitor.resync()).toEqual([]);
  });

  test('is touched by a third vCPU, which wrote to the table that was there before: that page alone is reported (C4)', () => {
    const its = stage(true, 2 ** 20);
    const { rig, root, pdpt } = its;
    const va = GIB + 0x5000n;
    rig.build(root, va, 0x9000n | PWU);
    expect(rig.monitor.resync()).toMatchObject([{ kind: 'page-in', va, pa: 0x9000 }]);
    rig.monitor.markDirtyEntry(rig.entry(root, va, 1), 0, 2);
    for (const leaf of [8n, 16n]) {
      rig.monitor.markDirtyEntry(pdpt + 8, 0, OTHER);
      rig.poke(pdpt + 8, (leaf * GIB) | LEAF);
      if (leaf === 8n) disturb(its);
    }
    expect(rig.monitor.processDirtyEntries(2)).toMatchObject([
      { kind: 'page-out', va, pa: 0x9000, pages: 1 },
      { kind: 'page-in', va, pa: Number(16n * GIB) + 0x5000, pages: 1 },
    ]);
    const events = rig.monitor.processDirtyEntries(OTHER);
    expect(events).toMatchObject([
      { kind: 'page-in', va: GIB, pages: 5 },
      { kind: 'page-in', va: va + 0x1000n, pages: GIB_PAGES - 6 },
    ]);
    expect(rig.monitor.resync()).toEqual([]);
  });

  test.each([true, false])('is touched so, and was not backed until the leaf came, which is moved (%s)', (isMoved) => {
    const its = stage(true, 2 ** 20);
    const { rig, root, pdpt } = its;
    const va = GIB + 0x5000n;
    rig.build(root, va, 0n);
    rig.monitor.resync();
    rig.monitor.markDirtyEntry(rig.entry(root, va, 1), 0, 2);
    rig.monitor.markDirtyEntry(pdpt + 8, 0, OTHER);
    rig.poke(pdpt + 8, 0n);
    disturb(its);
    rig.monitor.markDirtyEntry(pdpt + 8, 0, OTHER);
    rig.poke(pdpt + 8, (16n * GIB) | LEAF);
    if (isMoved) disturb(its);
    expect(rig.monitor.processDirtyEntries(2)).toMatchObject([
      { kind: 'page-in', va, pa: Number(16n * GIB) + 0x5000, pages: 1 },
    ]);
    expect(pagesOf(rig.monitor.processDirtyEntries(OTHER))).toBe(GIB_PAGES - 1);
    expect(rig.monitor.resync()).toEqual([]);
  });

  test('is listed as it was reported', () => {
    const its = stage(true);
    const { rig, root, pdpt } = its;
    rig.write(pdpt, (4n * GIB) | LEAF);
    rig.monitor.markDirtyEntry(pdpt, 0, OTHER);
    rig.poke(pdpt, (6n * GIB) | LEAF);
    disturb(its);
    const runs = rig.monitor.backedRuns({ root, va: 0x5000, byteLength: 2n * GIB });
    expect(runs).toEqual([{ va: 0x5000n, pa: Number(4n * GIB) + 0x5000, pageSize: 2 ** 30, pages: GIB_PAGES - 5 }]);
  });
});
