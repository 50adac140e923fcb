/**
 * Work that grows with n log n at most, n so large that growth with its square would not end within the test's time. What is
 * checked is that each call does what it is for.
 */
import { describe, expect, test } from 'vitest';
import { PageTableMonitor } from '../../../src/core/monitor/page-table-monitor.ts';
import { PWU, Rig } from './rig.ts';

const PAGE = 0x1000n;

describe('ranges of one address space', () => {
  const N = 90_000;

  test('disjoint ranges, released one by one', () => {
    const rig = new Rig();
    const root = rig.frame();
    const range = (index: number) => ({ root, va: 2n * PAGE * BigInt(index), byteLength: PAGE });
    for (let index = 0; index < N; index++) rig.monitor.monitorRange(range(index));
    let released = 0;
    for (let index = 0; index < N; index++) if (rig.monitor.unmonitorRange(range(index))) released++;
    expect(released).toBe(N);
    expect(rig.monitor.dump().ranges).toEqual([]);
  });

  test.each(['unmonitor', 'unmonitorByForce'] as const)('single pages punched out of a range by %s', (call) => {
    const rig = new Rig();
    const root = rig.frame();
    rig.monitor.monitorRange({ root, va: 0, byteLength: 2n * PAGE * BigInt(N) });
    for (let index = 0; index < N; index++)
      expect(rig.monitor[call]({ root, va: 2n * PAGE * BigInt(index) })).toBe(true);
    expect(rig.monitor.dump().ranges).toHaveLength(N);
  });
});

test('nested ranges with a tag each, released one by one', () => {
  const N = 15_000;
  const rig = new Rig();
  const root = rig.frame();
  const range = (tag: number) => ({ root, va: PAGE * BigInt(tag), byteLength: 2n * PAGE * BigInt(N - tag), tag });
  for (let tag = 0; tag < N; tag++) rig.monitor.monitorRange(range(tag));
  expect(rig.monitor.state({ root, va: PAGE * BigInt(N) })!.tags).toHaveLength(N);
  expect(rig.monitor.state({ root, va: 2n * PAGE })!.tags).toEqual([0, 1, 2]);
  let released = 0;
  for (let tag = 0; tag < N; tag++) if (rig.monitor.unmonitorRange(range(tag))) released++;
  expect(released).toBe(N);
  expect(rig.monitor.dump().ranges).toEqual([]);
});

test('roots that are gone one by one', () => {
  const N = 20_000;
  const rig = new Rig({ kinds: ['root-gone'] });
  const roots = Array.from({ length: N }, () => rig.frame());
  for (const root of roots) rig.monitor.monitor({ root, va: 0 });
  expect(roots.map((root) => rig.monitor.rootGone(root).length).every((count) => count === 1)).toBe(true);
  expect(rig.monitor.monitoredTables()).toBe(0);
});

test('tags of one address, released one by one', () => {
  const N = 100_000;
  const rig = new Rig();
  const root = rig.frame();
  for (let tag = 0; tag < N; tag++) rig.monitor.monitor({ root, va: 0, tag });
  let released = 0;
  for (let tag = N - 1; tag >= 0; tag--) if (rig.monitor.unmonitor({ root, va: 0, tag })) released++;
  expect(released).toBe(N);
  expect(rig.monitor.state({ root, va: 0 })).toBeUndefined();
});

test('views of one table', () => {
  const N = 20_000;
  const { memory } = new Rig();
  memory.addPage(1);
  const access = new Map<string, number>();
  const monitor = new PageTableMonitor({
    memory,
    protection: {
      getAccess: (view, gfn) => access.get(`${view}:${gfn}`) ?? 7,
      setAccess: (view, gfn, its) => void access.set(`${view}:${gfn}`, its),
    },
    paging: { mode: '4-level' },
  });
  for (let view = 0; view < N; view++) monitor.monitor({ root: 0x1000, va: 0, view });
  expect(access.get(`${N - 1}:1`)).toBe(5);
  for (let view = 0; view < N; view++) monitor.unmonitorView(view);
  expect([...access.values()].every((its) => its === 7)).toBe(true);
});

describe('while another vCPU has a write in flight', () => {
  /** A range of `tables` full page tables, and a page elsewhere whose entry vCPU 1 is about to write. */
  function inFlight(tables: number) {
    const rig = new Rig();
    const root = rig.frame();
    const far = 0x7000_0000_0000n;
    rig.build(root, far, 0x5000n | PWU);
    const table = rig.frame();
    for (let slot = 0; slot < 512; slot++) rig.poke(table + 8 * slot, (BigInt(0x10_0000 + slot) * PAGE) | PWU);
    for (let index = 0; index < tables; index++) rig.build(root, BigInt(index) * 512n * PAGE, BigInt(table) | PWU, 2);
    rig.monitor.monitorRange({ root, va: 0, byteLength: BigInt(tables) * 512n * PAGE, runs: true });
    rig.monitor.monitor({ root, va: far });
    rig.mark(rig.entry(root, far, 1), 1);
    return { rig, root };
  }

  test('all PDEs of a range cleared in one batch', () => {
    const { rig, root } = inFlight(1000);
    for (const first of [0n, 512n]) {
      const directory = rig.entry(root, first * 512n * PAGE, 2);
      rig.monitor.markDirty(directory, 4096, 0, 0);
      for (let slot = 0; slot < 512; slot++) rig.poke(directory + 8 * slot, 0n);
    }
    const events = rig.monitor.processDirtyEntries(0);
    expect(events.reduce((sum, event) => sum + ('pages' in event ? event.pages : 1), 0)).toBe(1000 * 512);
  });

  test('unsettled addresses released one by one', () => {
    const rig = new Rig();
    const root = rig.frame();
    const N = 40_000;
    const vas = Array.from({ length: N }, (_, index) => BigInt(index) * PAGE);
    for (const va of vas) rig.build(root, va, 0x5000n | PWU);
    for (const va of vas) rig.monitor.monitor({ root, va });
    const entry = rig.slot(root, 0n, 4);
    rig.mark(entry, 1);
    rig.poke(entry, 0n);
    rig.monitor.monitor({ root, va: 0x7000_0000_0000n });
    expect(vas.every((va) => rig.monitor.unmonitor({ root, va }))).toBe(true);
    expect(rig.monitor.processDirtyEntries(1)).toEqual([]);
  });
});

test('1 GiB pages of a range that is reported in runs: 128 TiB by one entry', () => {
  const rig = new Rig({ mode: '5-level', kinds: ['protection'] });
  const root = rig.frame();
  const [pml4, pdpt] = [rig.frame(), rig.frame()];
  for (let slot = 0; slot < 512; slot++) rig.poke(pdpt + 8 * slot, (BigInt(slot) << 30n) | PWU | 0x80n);
  for (let slot = 0; slot < 256; slot++) rig.poke(pml4 + 8 * slot, BigInt(pdpt) | PWU);
  rig.poke(root, BigInt(pml4) | PWU);
  rig.monitor.monitorRange({ root, va: 0, byteLength: 2n ** 48n, runs: true });
  const pages = (events: readonly object[]) =>
    events.reduce((sum, event) => sum + (event as { pages: number }).pages, 0);
  expect(pages(rig.write(root, (BigInt(pml4) | PWU) & ~2n))).toBe(2 ** 35);
  const out = rig.write(root, 0n);
  expect(out[0]).toMatchObject({ kind: 'page-out', va: 0n, pa: 0, pages: 2 ** 27, pageSize: 2 ** 30 });
  expect(pages(out)).toBe(2 ** 35);
  expect(pages(rig.write(root, BigInt(pml4) | PWU))).toBe(2 ** 35);
});
