import { describe, expect, test } from 'vitest';
import type { OptInKind } from '../../../../src/core/monitor/events.ts';
import { notes, P, PS, PWU, Rig, U, W, XD } from '../rig.ts';

const VA = 0x7f12_3456_7000n;

function watched(kinds: readonly OptInKind[], value = 0x5000n | PWU) {
  const rig = new Rig({ kinds, views: 2 });
  const root = rig.frame();
  rig.build(root, VA, value);
  rig.monitor.monitor({ root, va: VA });
  return { rig, root, pte: rig.entry(root, VA, 1), pde: rig.entry(root, VA, 2), pml4e: rig.entry(root, VA, 4) };
}

describe('E6 protection: the effective rights changed', () => {
  test.each([
    ['read-only at the leaf', 1, W, 'wux → -ux'],
    ['supervisor at the root', 4, U, 'wux → w-x'],
    ['no-execute at a directory', 2, XD, 'wux → wu-'],
    ['another protection key at the leaf', 1, 5n << 59n, 'wux → wux/5'],
  ] as const)('%s', (_, level, bit, change) => {
    const { rig, root } = watched(['protection']);
    const entry = rig.entry(root, VA, level);
    const events = rig.write(entry, rig.read(entry) ^ bit);
    expect(notes(events)).toEqual([`protection 0x7f1234567000 ${change}`]);
    expect(events).toMatchObject([{ pa: 0x5000, pageSize: 4096, cause: { entryPa: entry, level } }]);
  });

  test('what is restricted elsewhere anyway changes nothing', () => {
    const { rig, pte } = watched(['protection'], 0x5000n | P | U);
    const pde = rig.entry(0x10_0000, VA, 2);
    expect(rig.write(pde, rig.read(pde) & ~W)).toEqual([]);
    expect(rig.write(pte, 0x5000n | PWU)).toEqual([]);
  });

  test('a protection key counts in the leaf only', () => {
    const { rig, pde } = watched(['protection']);
    expect(rig.write(pde, rig.read(pde) | (9n << 59n))).toEqual([]);
  });

  test('where the backing changes too, that is said instead', () => {
    const { rig, pte } = watched(['protection']);
    expect(notes(rig.write(pte, 0x6000n | P))).toEqual(['out 0x7f1234567000 → 0x5000', 'in 0x7f1234567000 → 0x6000']);
  });
});

describe('E6 restructure: same backing, other page size', () => {
  test('split and collapse, with rights that change on the way', () => {
    const { rig, pde } = watched(['restructure', 'protection']);
    rig.write(pde, 0x4000_0000n | PWU | PS);
    const table = rig.frame();
    for (let slot = 0; slot < 512; slot++) rig.poke(table + slot * 8, (0x4000_0000n + BigInt(slot) * 4096n) | P | U);
    expect(notes(rig.write(pde, BigInt(table) | PWU)).sort()).toEqual([
      'protection 0x7f1234567000 wux → -ux',
      'restructure 0x7f1234567000 2097152 → 4096',
    ]);
    expect(notes(rig.write(pde, 0x4000_0000n | P | U | PS))).toEqual(['restructure 0x7f1234567000 4096 → 2097152']);
  });
});

describe('E6 nothing of this is said unasked', () => {
  test.each<[string, OptInKind[]]>([
    ['no kinds', []],
    ['other kinds', ['root-gone']],
  ])('%s', (_, kinds) => {
    const { rig, pde, pte } = watched(kinds);
    expect(rig.write(pte, 0x5000n | P)).toEqual([]);
    rig.write(pde, 0x4000_0000n | PWU | PS);
    const table = rig.frame();
    for (let slot = 0; slot < 512; slot++) rig.poke(table + slot * 8, (0x4000_0000n + BigInt(slot) * 4096n) | PWU);
    expect(rig.write(pde, BigInt(table) | PWU)).toEqual([]);
  });
});

describe('R4 a root that is gone', () => {
  test('its addresses get a last page-out where they were in, and are released', () => {
    const { rig, root } = watched(['root-gone']);
    const other = rig.frame();
    rig.build(other, VA, 0x6000n | PWU);
    rig.monitor.monitor({ root: other, va: VA });
    rig.monitor.monitor({ root, va: 0x1000, tag: 'unbacked' });
    rig.monitor.monitor({ root, va: VA, view: 1 });
    expect(notes(rig.monitor.rootGone(BigInt(root) | 0xabcn))).toEqual([
      'out 0x7f1234567000 → 0x5000',
      'root-gone 0x1000',
      'root-gone 0x7f1234567000',
      'out 0x7f1234567000 → 0x5000',
      'root-gone 0x7f1234567000',
    ]);
    expect(rig.monitor.dump().addresses.map((each) => each.root)).toEqual([other]);
    expect(rig.access(root)).toBe(7);
    expect(rig.access(root, 1)).toBe(7);
  });

  test('in one view only', () => {
    const { rig, root } = watched([]);
    rig.monitor.monitor({ root, va: VA, view: 1 });
    const events = rig.monitor.rootGone(root, 1);
    expect(events).toMatchObject([{ kind: 'page-out', view: 1, pa: 0x5000, vcpu: null, cause: null }]);
    expect(rig.monitor.state({ root, va: VA })).toMatchObject({ pa: 0x5000 });
    expect(rig.access(root)).toBe(5);
  });

  test('what it says does not depend on memory: the frame may be something else by now', () => {
    const { rig, root } = watched([]);
    for (let slot = 0; slot < 512; slot++) rig.poke(root + slot * 8, 0xdead_beef_dead_beefn);
    const reads = rig.reads;
    expect(notes(rig.monitor.rootGone(root))).toEqual(['out 0x7f1234567000 → 0x5000']);
    expect(rig.reads).toBe(reads);
  });

  test('a range says it once, with its pages', () => {
    const rig = new Rig({ kinds: ['root-gone'] });
    const root = rig.frame();
    rig.monitor.monitorRange({ root, va: 0x10_0000, byteLength: 0x1_0000_0000, tag: 'arena' });
    expect(rig.monitor.rootGone(root)).toMatchObject([
      { kind: 'root-gone', va: 0x10_0000n, pages: 0x10_0000, tags: ['arena'], vcpu: null, cause: null },
    ]);
    expect(rig.monitor.rootGone(root)).toEqual([]);
  });
});

describe('R2 runs of opt-in kinds', () => {
  const SPAN = 0x7f12_3440_0000n;

  function range(runs: boolean) {
    const rig = new Rig({ kinds: ['protection', 'restructure', 'root-gone'] });
    const root = rig.frame();
    for (let page = 0n; page < 512n; page++)
      rig.build(root, SPAN + page * 0x1000n, (0x4000_0000n + page * 0x1000n) | PWU);
    rig.monitor.monitorRange({ root, va: SPAN, byteLength: 0x20_0000, runs, tag: 'range' });
    return { rig, root, pde: rig.entry(root, SPAN, 2) };
  }

  test.each([
    [true, 1],
    [false, 512],
  ])('a PDE that loses W over 512 pages, runs: %s', (runs, count) => {
    const { rig, pde } = range(runs);
    const events = rig.write(pde, rig.read(pde) & ~W);
    expect(events).toHaveLength(count);
    expect(events[0]).toMatchObject({ kind: 'protection', va: SPAN, pages: 512 / count, cause: { entryPa: pde } });
  });

  test('a large page of the same frames, and the rights with it', () => {
    const { rig, pde } = range(true);
    const events = rig.write(pde, 0x4000_0000n | P | U | PS);
    expect(events).toMatchObject([
      { kind: 'restructure', va: SPAN, pages: 512, oldPageSize: 4096, pageSize: 0x20_0000 },
      { kind: 'protection', va: SPAN, pages: 512 },
    ]);
  });

  test('pages whose rights become different ones are not one run', () => {
    const { rig, root } = range(true);
    const table = rig.entry(root, SPAN, 1);
    rig.monitor.markDirty(table, 32, 0, 0);
    for (const [page, bits] of [W, W, U, U].entries()) rig.poke(table + 8 * page, rig.read(table + 8 * page) & ~bits);
    expect(rig.monitor.processDirtyEntries(0)).toMatchObject([
      { kind: 'protection', va: SPAN, pages: 2, newRights: { writable: false, user: true } },
      { kind: 'protection', va: SPAN + 0x2000n, pages: 2, newRights: { writable: true, user: false } },
    ]);
  });

  test('R4 root-gone of a range and single watches in it: each address once, with all its tags', () => {
    const { rig, root } = range(true);
    for (const page of [0n, 7n, 511n]) rig.monitor.monitor({ root, va: SPAN + page * 0x1000n, tag: 'single' });
    const gone = rig.monitor.rootGone(root).filter(({ kind }) => kind === 'root-gone');
    expect(gone.map((event) => [(event.va - SPAN) / 0x1000n, event.tags, 'pages' in event && event.pages])).toEqual([
      [0n, ['range', 'single'], 1],
      [7n, ['range', 'single'], 1],
      [511n, ['range', 'single'], 1],
      [1n, ['range'], 6],
      [8n, ['range'], 503],
    ]);
  });
});
