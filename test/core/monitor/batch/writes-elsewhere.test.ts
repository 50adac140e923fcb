/** Writes that trap for another reason than ours, in flight when a watch begins there (rule C1). */
import { describe, expect, test } from 'vitest';
import { PageTableMonitor } from '../../../../src/core/monitor/page-table-monitor.ts';
import { notes, PWU, Rig } from '../rig.ts';

const VA = 0x7f12_3456_7000n;

function built() {
  const rig = new Rig();
  const root = rig.frame();
  rig.build(root, VA, 0x5000n | PWU);
  return { rig, root, leaf: rig.entry(root, VA, 1) };
}

test.each([1, 8, 4096])(
  'a write of %i bytes that traps before the watch begins is processed after it lands',
  (bytes) => {
    const { rig, root, leaf } = built();
    const pa = bytes === 4096 ? leaf - (leaf % 4096) : leaf;
    expect(rig.monitor.markDirty(pa, bytes, 0, 0)).toBe(false);
    rig.monitor.monitor({ root, va: VA });
    expect(rig.monitor.dump().marks).toMatchObject([{ vcpu: 0 }]);
    rig.poke(leaf, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7f1234567000 → 0x5000']);
    expect(rig.monitor.state({ root, va: VA })).toMatchObject({ pa: null });
  },
);

test('entry by entry, where the write continues into a table that nothing watches', () => {
  const rig = new Rig();
  const root = rig.frame();
  rig.build(root, 0x1f_f000n, 0x5000n | PWU);
  rig.build(root, 0x20_0000n, 0x6000n | PWU);
  const [last, first] = [rig.entry(root, 0x1f_f000n, 1), rig.entry(root, 0x20_0000n, 1)];
  rig.monitor.monitor({ root, va: 0x1f_f000n });
  expect([rig.mark(last), rig.mark(first)]).toEqual([true, false]);
  rig.monitor.monitor({ root, va: 0x20_0000n });
  rig.poke(last, 0n);
  rig.poke(first, 0n);
  expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x1ff000 → 0x5000', 'out 0x200000 → 0x6000']);
});

test('a write that is processed before the watch begins is forgotten', () => {
  const { rig, root, leaf } = built();
  rig.mark(leaf);
  rig.poke(leaf, 0n);
  expect(rig.monitor.processDirtyEntries(0)).toEqual([]);
  rig.monitor.monitor({ root, va: VA });
  expect(rig.monitor.dump().marks).toEqual([]);
});

test('another vCPU that is processed in between leaves it in flight', () => {
  const { rig, root, leaf } = built();
  rig.mark(leaf, 1);
  rig.monitor.processDirtyEntries(0);
  rig.monitor.monitor({ root, va: VA });
  rig.poke(leaf, 0n);
  expect(rig.monitor.processDirtyEntries(1)).toHaveLength(1);
});

test('two monitors on one source: the second begins while a write that the first trapped is in flight', () => {
  const { rig, root, leaf } = built();
  rig.monitor.monitor({ root, va: VA });
  const second = new PageTableMonitor({
    memory: rig.memory,
    protection: { getAccess: (_, gfn) => rig.access(gfn * 4096), setAccess: () => {} },
    paging: { mode: '4-level' },
  });
  const each = [rig.monitor, second];
  expect(each.map((monitor) => monitor.markDirtyEntry(leaf, 0, 0))).toEqual([true, false]);
  second.monitor({ root, va: VA });
  rig.poke(leaf, 0n);
  for (const monitor of each) expect(notes(monitor.processDirtyEntries(0))).toEqual(['out 0x7f1234567000 → 0x5000']);
});

test('a source that never has such writes processed costs no more than a ring', () => {
  const { rig, root, leaf } = built();
  for (let write = 0; write < 100_000; write++) rig.mark(0x900_0000 + 8 * write);
  rig.mark(leaf);
  rig.monitor.monitor({ root, va: VA });
  expect(rig.monitor.dump().marks).toEqual([{ vcpu: 0, entries: [leaf] }]);
});

describe('a write of the vCPU that is being processed, reported while the source is read', () => {
  /** Marks `pa` for vCPU 0 at the next read: once, before it is answered. */
  function markAtNextRead(rig: Rig, pa: number, byteLength: number): void {
    const readEntry = rig.memory.readEntry.bind(rig.memory);
    rig.memory.readEntry = (...read) => {
      rig.memory.readEntry = readEntry;
      rig.monitor.markDirty(pa, byteLength, 0, 0);
      return readEntry(...read);
    };
  }

  test.each([1, 8, 4096])('%i bytes to the table that the processed write leads to', (bytes) => {
    const { rig, root } = built();
    rig.monitor.monitor({ root, va: VA });
    const table = rig.frame();
    const leaf = rig.slot(table, VA, 1);
    markAtNextRead(rig, bytes === 4096 ? table : leaf, bytes);
    expect(notes(rig.write(rig.entry(root, VA, 2), BigInt(table) | PWU))).toEqual(['out 0x7f1234567000 → 0x5000']);
    rig.poke(leaf, 0x6000n | PWU);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['in 0x7f1234567000 → 0x6000']);
  });

  test.each([1, 2])('to a table that is watched after that, level %i being processed', (level) => {
    const { rig, root } = built();
    const far = 0x7000n;
    rig.build(root, far, 0x8000n | PWU);
    const leaf = rig.entry(root, far, 1);
    rig.monitor.monitor({ root, va: VA });
    markAtNextRead(rig, leaf, 8);
    expect(rig.write(rig.entry(root, VA, level), 0n)).toHaveLength(1);
    rig.monitor.monitor({ root, va: far });
    rig.poke(leaf, 0n);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7000 → 0x8000']);
    expect(rig.monitor.state({ root, va: far })).toMatchObject({ pa: null });
  });

  test('what was noted before is dropped', () => {
    const { rig, root, leaf } = built();
    const elsewhere = rig.frame();
    rig.monitor.monitor({ root, va: VA });
    const table = rig.frame();
    rig.mark(rig.slot(table, VA, 1));
    markAtNextRead(rig, elsewhere, 8);
    rig.mark(leaf);
    rig.write(rig.entry(root, VA, 2), BigInt(table) | PWU);
    expect(rig.monitor.dump().marks).toEqual([]);
  });

  test.each([10, 1500])(
    'C9 where the processing fails, all are kept: %i before, of one entry and of several',
    (before) => {
      const { rig, root, leaf } = built();
      rig.monitor.monitor({ root, va: VA });
      rig.build(root, 0x7000n, 0x8000n | PWU);
      const table = rig.entry(root, 0x7000n, 1) - 8 * 7;
      for (let write = 0; write < before; write++) rig.mark(0x900_0000 + 8 * write);
      rig.mark(table + 8);
      rig.monitor.markDirty(table + 16, 16, 0, 0);
      rig.mark(leaf);
      rig.memory.readEntry = () => {
        Reflect.deleteProperty(rig.memory, 'readEntry');
        rig.mark(table + 48);
        throw new Error('the source fails to read');
      };
      expect(() => rig.monitor.processDirtyEntries(0)).toThrow('fails to read');
      rig.monitor.monitorRange({ root, va: 0, byteLength: 512 * 4096 });
      const entries = [table + 8, table + 16, table + 24, table + 48, leaf].sort((a, b) => a - b);
      expect(rig.monitor.dump().marks).toEqual([{ vcpu: 0, entries }]);
    },
  );

  test('a ring that was full before keeps what came since', () => {
    const { rig, root } = built();
    rig.monitor.monitor({ root, va: VA });
    const table = rig.frame();
    for (let write = 0; write < 1500; write++) rig.mark(0x900_0000 + 8 * write);
    markAtNextRead(rig, rig.slot(table, VA, 1), 8);
    rig.write(rig.entry(root, VA, 2), BigInt(table) | PWU);
    expect(rig.monitor.dump().marks).toEqual([{ vcpu: 0, entries: [rig.slot(table, VA, 1)] }]);
  });
});
