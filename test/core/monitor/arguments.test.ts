import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { PageTableMonitor } from '../../../src/core/monitor/page-table-monitor.ts';
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
  const bad: [message: RegExp, (rig: Rig, root: number) => unknown][] = [
    [/virtual address/, ({ monitor }, root) => monitor.monitor({ root, va: 2 ** 60 })],
    [/virtual address/, ({ monitor }, root) => monitor.monitor({ root, va: -1n })],
    [/virtual address/, ({ monitor }, root) => monitor.monitor({ root, va: 1n << 64n })],
    [/root|CR3/, ({ monitor }) => monitor.monitor({ root: 0.5, va: 0 })],
    [/view -1 is not/, ({ monitor }, root) => monitor.monitor({ root, va: 0, view: -1 })],
    [/view 0.5 is not/, ({ monitor }) => monitor.unmonitorView(0.5)],
    [/view -1 is not/, ({ monitor }) => monitor.resync(-1)],
    [/virtual address/, ({ monitor }, root) => monitor.monitorRange({ root, va: -1n, byteLength: 1 })],
    [
      /the range at 0x3000 has no bytes/,
      ({ monitor }, root) => monitor.monitorRange({ root, va: 0x3000, byteLength: 0 }),
    ],
    [/byte length/, ({ monitor }, root) => monitor.monitorRange({ root, va: 0, byteLength: 0.5 })],
    [/byte length/, ({ monitor }, root) => monitor.monitorRange({ root, va: 0, byteLength: -1 })],
    [
      /range of 4097 bytes at 0xfffffffffffff000 goes beyond 2\^64/,
      ({ monitor }, root) => monitor.monitorRange({ root, va: 2n ** 64n - 4096n, byteLength: 4097 }),
    ],
    [/tag NaN is neither/, ({ monitor }, root) => monitor.monitor({ root, va: 0x5000, tag: Number.NaN })],
    [/tag null is neither/, ({ monitor }, root) => monitor.monitor({ root, va: 0x5000, tag: null as never })],
    [/a write of 1 bytes at 4503599627370496 is/, ({ monitor }) => monitor.markDirtyEntry(2 ** 52, 0, 0)],
    [/a write of 9 bytes/, ({ monitor }) => monitor.markDirty(2 ** 52 - 8, 9, 0, 0)],
    [/a write of 0 bytes at 4096 is/, ({ monitor }) => monitor.markDirty(0x1000, 0, 0, 0)],
    [/a write of 8 bytes at -8 is/, ({ monitor }) => monitor.markDirty(-8, 8, 0, 0)],
    [/a write of 8 bytes at 0.5 is/, ({ monitor }) => monitor.markDirty(0.5, 8, 0, 0)],
    [/a write of 0.5 bytes at 8 is/, ({ monitor }) => monitor.markDirty(8, 0.5, 0, 0)],
    [/physical address 8 is a bigint: pass a number/, ({ monitor }) => monitor.markDirty(8n as never, 8, 0, 0)],
    [/vCPU -1 is not a non-negative integer/, ({ monitor }) => monitor.markDirty(8, 8, 0, -1)],
    [/vCPU 0.5 is not a non-negative integer/, ({ monitor }) => monitor.processDirtyEntries(0.5)],
    [/vCPU undefined is not/, ({ monitor }) => monitor.processDirtyEntries(undefined as never)],
    [/vCPU -1 is not a non-negative integer/, ({ monitor }) => monitor.processAtOnce(-1)],
  ];

  test.each(bad)('%s', (message, call) => {
    const rig = new Rig();
    const root = rig.frame();
    rig.monitor.monitor({ root, va: 0 });
    const before = rig.monitor.dump();
    const error = errorOf(() => call(rig, root));
    expect(error.code).toBe('bad-argument');
    expect(error.message).toMatch(message);
    expect(rig.monitor.dump()).toEqual(before);
  });

  test.each([0, -0, 1, 2 ** 52 - 8])('a write of 8 bytes at %d is within physical memory', (pa) => {
    expect(new Rig().monitor.markDirty(pa, 8, 0, 0)).toBe(false);
  });
});

describe('C9 an argument of another type is refused by its name, or accepted on purpose', () => {
  const memory = { readEntry: () => 1 as const };
  const paging = { mode: '4-level' } as const;
  const options: readonly (readonly [RegExp, unknown])[] = [
    [/the options of PageTableMonitor: undefined is not an object/, undefined],
    [/memory: undefined is not an object/, {}],
    [/memory has no function readEntry/, { memory: {}, paging }],
    [/paging: undefined is not an object/, { memory }],
    [/paging mode "undefined" is not one of/, { memory, paging: {} }],
    [/protection has no function setAccess/, { memory, paging, protection: { getAccess() {} } }],
    [/kinds: protections is not one of protection, restructure, root-gone/, { memory, paging, kinds: ['protections'] }],
    [/kinds: protection is not an array/, { memory, paging, kinds: 'protection' }],
    [/onFault: log is not a function/, { memory, paging, onFault: 'log' }],
    [/fastPath: off is not a boolean/, { memory, paging, fastPath: 'off' }],
    [/maxRangePages: 1.5 is not a positive integer/, { memory, paging, maxRangePages: 1.5 }],
    [/PageTableMonitor has no option kind: only memory, /, { memory, paging, kind: ['protection'] }],
    [/paging has no option vendr: only mode, /, { memory, paging: { ...paging, vendr: 'amd' } }],
    [/gigabytePages 0 is not a boolean/, { memory, paging: { ...paging, gigabytePages: 0 } }],
  ];
  test.each(options)('new PageTableMonitor: %s', (message, given) => {
    const error = errorOf(() => new PageTableMonitor(given as never));
    expect([error.name, error.code]).toEqual(['PtmonError', 'bad-argument']);
    expect(error.message).toMatch(message);
  });

  const calls = [
    'monitor',
    'monitorRange',
    'unmonitor',
    'unmonitorRange',
    'unmonitorByForce',
    'state',
    'explain',
  ] as const;
  test.each(calls)('%s without a request, or without a part of it', (name) => {
    const { monitor } = new Rig();
    const call = monitor[name].bind(monitor) as (request?: unknown) => unknown;
    for (const given of [undefined, null, 0x1000, 'va']) {
      expect(errorOf(() => call(given)).message).toMatch(/the request: .* is not an object: pass { root, va }/);
    }
    expect(errorOf(() => call({ va: 0, byteLength: 1 })).message).toMatch(/^root undefined is not/);
    expect(errorOf(() => call({ root: 0x1000, byteLength: 1 })).message).toMatch(/^virtual address undefined is not/);
  });

  test('the other calls without their arguments', () => {
    const { monitor } = new Rig();
    const loose = monitor as unknown as Record<string, (...given: unknown[]) => unknown>;
    expect(errorOf(() => loose['rootGone']!()).message).toMatch(/^root undefined/);
    expect(errorOf(() => loose['markDirty']!()).message).toMatch(/^physical address undefined/);
    expect(errorOf(() => loose['markDirtyEntry']!(8, 0)).message).toMatch(/^vCPU undefined/);
    expect(errorOf(() => loose['processDirtyEntries']!()).message).toMatch(/^vCPU undefined/);
    const range = { root: 0x1000, va: 0 };
    expect(errorOf(() => loose['monitorRange']!(range)).message).toMatch(/^byte length undefined/);
    expect(errorOf(() => loose['monitorRange']!({ ...range, byteLength: 1, runs: 'yes' })).message).toMatch(
      /^runs: yes/,
    );
  });

  test('numbers and bigints are both accepted', () => {
    const rig = new Rig();
    const root = rig.frame();
    rig.monitor.monitor({ root: BigInt(root), va: 0x1000 });
    rig.monitor.monitorRange({ root: BigInt(root), va: 0x2000, byteLength: 4096 });
    rig.monitor.monitorRange({ root, va: 0x3000n, byteLength: 4096n });
    const vas = [0x1000n, 0x2000n, 0x3000n];
    expect(vas.map((va) => rig.monitor.state({ root, va })?.references)).toEqual([1, 1, 1]);
    expect(rig.monitor.unmonitorRange({ root, va: 0x2000, byteLength: 0x2000n })).toBe(true);
  });
});
