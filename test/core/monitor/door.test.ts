import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import type { PagingModeName } from '../../../src/core/paging/modes.ts';
import { PWU, Rig } from './rig.ts';

const VA = 0x7f12_3456_7000n;

function errorOf(call: () => unknown): PtmonError {
  try {
    call();
  } catch (error) {
    expect(error).toBeInstanceOf(PtmonError);
    return error as PtmonError;
  }
  throw new Error('it did not throw');
}

describe('T2 the root is bits 51:12 of CR3', () => {
  const root = 0x10_0000;
  const disguises: [string, number | bigint][] = [
    ['a PCID', 0x10_0abc],
    ['bit 63', (1n << 63n) | 0x10_0000n],
    ['the LAM bits', (3n << 61n) | 0x10_0000n],
    ['everything at once', 0xfff0_0000_0010_0fffn],
    ['a bigint', 0x10_0000n],
  ];

  test.each(disguises)('monitored with %s, unmonitored without, and the other way round', (_, cr3) => {
    const rig = new Rig();
    expect(rig.frame()).toBe(root);
    rig.monitor.monitor({ root: cr3, va: VA });
    expect(rig.monitor.state({ root, va: VA })?.root).toBe(root);
    expect(rig.monitor.unmonitor({ root, va: VA })).toBe(true);
    rig.monitor.monitor({ root, va: VA });
    expect(rig.monitor.unmonitor({ root: cr3, va: VA })).toBe(true);
    expect(rig.monitor.dump().addresses).toEqual([]);
  });

  test('it is bits 31:5 in PAE: roots that share a frame are different roots', () => {
    const rig = new Rig({ mode: 'pae' });
    const frame = rig.frame();
    rig.build(frame + 0x20, 0x1000n, 0x5000n | PWU);
    rig.monitor.monitor({ root: frame, va: 0x1000 });
    rig.monitor.monitor({ root: frame + 0x20, va: 0x1000 });
    rig.monitor.monitor({ root: frame + 0x3f, va: 0x1000 });
    expect(rig.monitor.state({ root: frame, va: 0x1000 })?.pa).toBeNull();
    expect(rig.monitor.state({ root: frame + 0x20, va: 0x1000 })).toMatchObject({ pa: 0x5000, references: 2 });
  });
});

describe('T3 a non-canonical address is refused at the door', () => {
  const cases: [PagingModeName, bigint, boolean][] = [
    ['4-level', 0x7fff_ffff_ffffn, true],
    ['4-level', 0x8000_0000_0000n, false],
    ['4-level', 0xffff_7fff_ffff_ffffn, false],
    ['4-level', 0xffff_8000_0000_0000n, true],
    ['5-level', 0x00ff_ffff_ffff_ffffn, true],
    ['5-level', 0x0100_0000_0000_0000n, false],
    ['5-level', 0xff00_0000_0000_0000n, true],
    ['pae', 0xffff_ffffn, true],
    ['pae', 0x1_0000_0000n, false],
    ['32-bit', 0xffff_ffffn, true],
    ['32-bit', 0x1_0000_0000n, false],
  ];

  test.each(cases)('%s 0x%x: canonical %s', (mode, va, canonical) => {
    const rig = new Rig({ mode });
    const root = rig.frame();
    if (canonical) {
      rig.monitor.monitor({ root, va });
      expect(rig.monitor.state({ root, va })).toBeDefined();
      return;
    }
    const before = rig.monitor.dump();
    for (const call of [
      () => rig.monitor.monitor({ root, va }),
      () => rig.monitor.unmonitor({ root, va }),
      () => rig.monitor.unmonitorByForce({ root, va }),
      () => rig.monitor.monitorRange({ root, va, byteLength: 1 }),
      () => rig.monitor.unmonitorRange({ root, va, byteLength: 1 }),
    ]) {
      const error = errorOf(call);
      expect(error.code).toBe('non-canonical');
      expect(error.message).toContain(`0x${va.toString(16)}`);
      expect(error.facts.va).toBe(va);
    }
    expect(rig.monitor.dump()).toEqual(before);
    expect(rig.protections).toEqual([]);
  });

  test.each([
    ['into the hole', '4-level', 0x7fff_ffff_f000n, 8192],
    ['across the hole', '4-level', 0x7fff_ffff_f000n, 0xffff_0000_0000_2000n],
    ['out of the hole', '4-level', 0xffff_7fff_ffff_f000n, 8192],
    ['past the end of 32 bits', 'pae', 0xffff_f000n, 4097],
    ['past the end of 64 bits', '4-level', 0xffff_ffff_ffff_f000n, 4097],
  ] as const)('a range that runs %s is refused, and nothing is watched', (_, mode, va, byteLength) => {
    const rig = new Rig({ mode });
    const root = rig.frame();
    const error = errorOf(() => rig.monitor.monitorRange({ root, va, byteLength }));
    expect(['non-canonical', 'bad-argument']).toContain(error.code);
    expect(rig.monitor.dump()).toMatchObject({ addresses: [], ranges: [], tables: [] });
    expect(rig.protections).toEqual([]);
  });

  test.each([
    ['4-level', 0x7fff_ffff_f000n],
    ['4-level', 0xffff_ffff_ffff_f000n],
    ['pae', 0xffff_f000n],
  ] as const)('%s: a range may end where the space ends (0x%x)', (mode, va) => {
    const rig = new Rig({ mode });
    const root = rig.frame();
    rig.monitor.monitorRange({ root, va, byteLength: 4096 });
    expect(rig.monitor.state({ root, va })).toBeDefined();
  });
});

describe('C9 what makes no sense is refused, and leaves no trace', () => {
  const bad: [string, (rig: Rig, root: number) => unknown][] = [
    ['a va that is no exact number', ({ monitor }, root) => monitor.monitor({ root, va: 2 ** 60 })],
    ['a negative va', ({ monitor }, root) => monitor.monitor({ root, va: -1n })],
    ['a va of 65 bits', ({ monitor }, root) => monitor.monitor({ root, va: 1n << 64n })],
    ['a fractional root', ({ monitor }) => monitor.monitor({ root: 0.5, va: 0 })],
    ['a negative view', ({ monitor }, root) => monitor.monitor({ root, va: 0, view: -1 })],
    ['a range of no bytes', ({ monitor }, root) => monitor.monitorRange({ root, va: 0, byteLength: 0 })],
    ['a range of half a byte', ({ monitor }, root) => monitor.monitorRange({ root, va: 0, byteLength: 0.5 })],
    ['a physical address above 52 bits', ({ monitor }) => monitor.markDirtyEntry(2 ** 52, 0, 0)],
    ['a write of no bytes', ({ monitor }) => monitor.markDirty(0x1000, 0, 0, 0)],
  ];

  test.each(bad)('%s', (_, call) => {
    const rig = new Rig();
    const root = rig.frame();
    rig.monitor.monitor({ root, va: 0 });
    const before = rig.monitor.dump();
    expect(errorOf(() => call(rig, root)).code).toBe('bad-argument');
    expect(rig.monitor.dump()).toEqual(before);
  });
});

describe('E8 what is there already is not news', () => {
  test('monitoring a backed address says nothing; its state can be asked', () => {
    const rig = new Rig();
    const root = rig.frame();
    rig.build(root, VA, 0x8765_4000n | PWU);
    rig.monitor.monitor({ root, va: VA + 0x123n, tag: 'stack' });
    expect(rig.monitor.processDirtyEntries(0)).toEqual([]);
    expect(rig.monitor.resync()).toEqual([]);
    expect(rig.monitor.state({ root, va: VA + 0x123n })).toEqual({
      view: 0,
      root,
      va: VA + 0x123n,
      pa: 0x8765_4123,
      pageSize: 4096,
      rights: { writable: true, user: true, noExecute: false, protectionKey: 0 },
      tags: ['stack'],
      references: 1,
    });
  });

  test('a state is of the exact address: its neighbours in the page are not watched', () => {
    const rig = new Rig();
    const root = rig.frame();
    rig.monitor.monitor({ root, va: VA + 8n });
    expect(rig.monitor.state({ root, va: VA })).toBeUndefined();
    expect(rig.monitor.state({ root, va: VA + 8n })).toMatchObject({ pa: null, pageSize: null, rights: null });
    expect(rig.monitor.state({ root, va: VA + 8n, view: 1 })).toBeUndefined();
  });
});
