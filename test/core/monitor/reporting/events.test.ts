import { describe, expect, test } from 'vitest';
import type { MonitorEvent } from '../../../../src/core/monitor/events.ts';
import { A, D, notes, P, PAT_LARGE, PS, PWU, Rig, U, W, XD } from '../rig.ts';

const VA = 0x7f12_3456_7000n;

/** An address that is watched and mapped at 0x5000. */
function watched(va = VA) {
  const rig = new Rig();
  const root = rig.frame();
  rig.build(root, va, 0x5000n | PWU);
  rig.monitor.monitor({ root, va });
  return { rig, root, pte: rig.entry(root, va, 1), pde: rig.entry(root, va, 2), pdpte: rig.entry(root, va, 3) };
}

describe('E1 the stream alternates, and a page-out carries what its page-in carried', () => {
  test('out, in, out at the page table', () => {
    const { rig, pte } = watched();
    expect(notes(rig.write(pte, 0n))).toEqual(['out 0x7f1234567000 → 0x5000']);
    expect(notes(rig.write(pte, 0x6000n | PWU))).toEqual(['in 0x7f1234567000 → 0x6000']);
    expect(notes(rig.write(pte, 0x6000n))).toEqual(['out 0x7f1234567000 → 0x6000']);
    expect(notes(rig.write(pte, 0x7000n))).toEqual([]);
  });

  test('every level of the walk can take the address out and back', () => {
    const { rig, root } = watched();
    for (const level of [1, 2, 3, 4]) {
      const entry = rig.entry(root, VA, level);
      const value = rig.read(entry);
      expect(notes(rig.write(entry, 0n))).toEqual(['out 0x7f1234567000 → 0x5000']);
      expect(notes(rig.write(entry, value))).toEqual(['in 0x7f1234567000 → 0x5000']);
    }
  });

  test('two addresses in one page are two addresses', () => {
    const { rig, root, pte } = watched();
    rig.monitor.monitor({ root, va: VA + 0xfffn });
    expect(notes(rig.write(pte, 0n))).toEqual(['out 0x7f1234567000 → 0x5000', 'out 0x7f1234567fff → 0x5fff']);
  });
});

describe('E2 only what is true when the batch is processed is said', () => {
  test('there and back again within a batch is nothing', () => {
    const { rig, pte } = watched();
    rig.mark(pte);
    rig.poke(pte, 0n);
    rig.mark(pte);
    rig.poke(pte, 0x5000n | PWU);
    expect(rig.monitor.processDirtyEntries(0)).toEqual([]);
  });

  test('no page-in through a parent that is gone', () => {
    const { rig, root, pte, pde } = watched();
    rig.write(pte, 0n);
    rig.mark(pte);
    rig.mark(pde);
    rig.poke(pte, 0x6000n | PWU);
    rig.poke(pde, 0n);
    expect(rig.monitor.processDirtyEntries(0)).toEqual([]);
    expect(rig.monitor.state({ root, va: VA })?.pa).toBeNull();
  });

  test('a table that is freed and reused as data is not read as a table', () => {
    const { rig, pde } = watched();
    const table = Number(rig.read(pde) & ~0xfffn);
    rig.mark(pde);
    rig.mark(table + 8);
    rig.poke(pde, 0n);
    for (let slot = 0; slot < 512; slot++) rig.poke(table + slot * 8, 0x9000n | PWU);
    expect(notes(rig.monitor.processDirtyEntries(0))).toEqual(['out 0x7f1234567000 → 0x5000']);
    expect(rig.access(table)).toBe(7);
  });

  test('a batch is read as a whole: a new table and its content arrive together', () => {
    const { rig, pde } = watched();
    const table = rig.frame();
    rig.poke(rig.slot(table, VA, 1), 0x7000n | PWU);
    expect(notes(rig.write(pde, BigInt(table) | PWU))).toEqual([
      'out 0x7f1234567000 → 0x5000',
      'in 0x7f1234567000 → 0x7000',
    ]);
  });
});

describe('E3 changed backing is out of the old, then in of the new, in one batch', () => {
  test('remapped at the page table, with addresses side by side', () => {
    const { rig, root, pte } = watched();
    rig.monitor.monitor({ root, va: VA + 4n });
    expect(notes(rig.write(pte, 0x6000n | PWU))).toEqual([
      'out 0x7f1234567000 → 0x5000',
      'in 0x7f1234567000 → 0x6000',
      'out 0x7f1234567004 → 0x5004',
      'in 0x7f1234567004 → 0x6004',
    ]);
  });
});

describe('E4 what leaves backing alone is neither page-in nor page-out', () => {
  test.each([
    ['accessed', A],
    ['dirty', D],
    ['the bits that are free for software', 0x7ff0_0000_0000_0e00n],
    ['PAT of a 4 KiB page', PS],
    ['write-protection', W],
    ['supervisor only', U],
    ['global', 0x100n],
  ])('%s', (_, bits) => {
    const { rig, pte } = watched();
    expect(rig.write(pte, rig.read(pte) ^ bits)).toEqual([]);
  });

  test('PAT of a large leaf is bit 12, and not address', () => {
    const { rig, root, pde } = watched();
    rig.write(pde, 0x4000_0000n | PWU | PS);
    const { pa } = rig.monitor.state({ root, va: VA })!;
    expect(rig.write(pde, 0x4000_0000n | PWU | PS | PAT_LARGE)).toEqual([]);
    expect(rig.monitor.state({ root, va: VA })!.pa).toBe(pa);
  });

  test('a 2 MiB leaf split into 512 entries of the same frames, and collapsed again', () => {
    const { rig, root, pde } = watched();
    rig.monitor.unmonitor({ root, va: VA });
    rig.poke(pde, 0x4000_0000n | PWU | PS);
    const first = VA & ~0x1f_ffffn;
    rig.monitor.monitorRange({ root, va: first, byteLength: 0x20_0000 });
    rig.monitor.monitor({ root, va: VA + 5n });

    const table = rig.frame();
    for (let slot = 0; slot < 512; slot++) rig.poke(table + slot * 8, (0x4000_0000n + BigInt(slot) * 4096n) | PWU);
    expect(rig.write(pde, BigInt(table) | PWU)).toEqual([]);
    expect(rig.monitor.state({ root, va: VA + 5n })).toMatchObject({ pa: 0x4016_7005, pageSize: 4096 });
    expect(rig.access(table)).toBe(5);

    expect(rig.write(pde, 0x4000_0000n | PWU | PS)).toEqual([]);
    expect(rig.monitor.state({ root, va: VA + 5n })).toMatchObject({ pa: 0x4016_7005, pageSize: 0x20_0000 });
    expect(rig.access(table)).toBe(7);
  });

  test('a split in which one frame is another says only that page', () => {
    const { rig, root, pde } = watched();
    rig.poke(pde, 0x4000_0000n | PWU | PS);
    rig.monitor.resync();
    rig.monitor.monitorRange({ root, va: VA & ~0x1f_ffffn, byteLength: 0x20_0000 });
    const table = rig.frame();
    for (let slot = 0; slot < 512; slot++) rig.poke(table + slot * 8, (0x4000_0000n + BigInt(slot) * 4096n) | PWU);
    rig.poke(rig.slot(table, VA, 1), 0x9000n | PWU);
    expect(notes(rig.write(pde, BigInt(table) | PWU))).toEqual([
      'out 0x7f1234567000 → 0x40167000',
      'in 0x7f1234567000 → 0x9000',
    ]);
  });

  test('a 1 GiB leaf backs every page of it exactly', () => {
    const { rig, root, pdpte } = watched();
    expect(notes(rig.write(pdpte, 0x8000_0000n | PWU | PS))).toEqual([
      'out 0x7f1234567000 → 0x5000',
      'in 0x7f1234567000 → 0xb4567000',
    ]);
    expect(rig.monitor.state({ root, va: VA })!.pageSize).toBe(0x4000_0000);
  });
});

describe('E5 an event says all that is known', () => {
  test('at the page table', () => {
    const rig = new Rig({ views: 3 });
    const root = rig.frame();
    rig.build(root, VA, 0x5000n | PWU);
    rig.monitor.monitor({ root, va: VA + 0xabcn, view: 2, tag: 'heap' });
    rig.monitor.monitor({ root, va: VA + 0xabcn, view: 2, tag: 7 });
    const pte = rig.entry(root, VA, 1);
    expect(rig.write(pte, 0x6001n, 3, 2)).toEqual([
      {
        kind: 'page-out',
        view: 2,
        root,
        va: VA + 0xabcn,
        pa: 0x5abc,
        pageSize: 4096,
        pages: 1,
        tags: ['heap', 7],
        vcpu: 3,
        cause: { entryPa: pte, level: 1, oldValue: 0x5000n | PWU, newValue: 0x6001n },
      },
      {
        kind: 'page-in',
        view: 2,
        root,
        va: VA + 0xabcn,
        pa: 0x6abc,
        pageSize: 4096,
        pages: 1,
        tags: ['heap', 7],
        vcpu: 3,
        cause: { entryPa: pte, level: 1, oldValue: 0x5000n | PWU, newValue: 0x6001n },
      },
    ]); // prettier-ignore
  });

  test('the entry that caused it is the one where the old walk and the new part', () => {
    const { rig, pde, pte } = watched();
    // The page table is emptied and taken out in one batch: the address went with the directory's entry.
    rig.mark(pte);
    rig.mark(pde);
    rig.poke(pte, 0n);
    rig.poke(pde, 0n);
    const [event] = rig.monitor.processDirtyEntries(0);
    expect(event!.cause).toMatchObject({ entryPa: pde, level: 2, newValue: 0n });
  });

  describe('through a self-map, the entry is named at the lowest level at which both walks read it', () => {
    const SELF = 511n;
    /** Through the self-map at all three levels above: shows the frame behind a slot of the top-level table. */
    const mirrorOf = (slot: bigint) =>
      0xffff_0000_0000_0000n | (SELF << 39n) | (SELF << 30n) | (SELF << 21n) | (slot << 12n);

    const selfMapped = () => {
      const { rig, root } = watched();
      const slot = (VA >> 39n) & 0x1ffn;
      const self = rig.slot(root, mirrorOf(slot), 4);
      rig.poke(self, BigInt(root) | PWU);
      rig.monitor.monitor({ root, va: mirrorOf(slot) });
      return { rig, root, slot, self, other: rig.frame() };
    };
    const causes = (events: readonly MonitorEvent[]) =>
      events.map(({ kind, va, cause }) => [kind, va, cause!.entryPa, cause!.level]);

    test('the slot that maps the table itself, when the new walk goes through other tables', () => {
      const { rig, slot, self, other } = selfMapped();
      expect(causes(rig.write(self, BigInt(other) | PWU))).toEqual([['page-out', mirrorOf(slot), self, 4]]);
    });

    test('the slot that maps the table itself, when the new walk comes back to it at level 2', () => {
      const { rig, root, slot, self, other } = selfMapped();
      rig.poke(rig.slot(other, mirrorOf(slot), 4), BigInt(root) | PWU);
      rig.poke(other + Number(slot) * 8, 0x9000n | PWU);
      expect(causes(rig.write(self, BigInt(other) | PWU))).toEqual([
        ['page-out', mirrorOf(slot), self, 2],
        ['page-in', mirrorOf(slot), self, 2],
      ]);
    });

    test('another slot: a table to the pages below it, a page to the self-map', () => {
      const { rig, root, slot, other } = selfMapped();
      const entry = root + Number(slot) * 8;
      expect(causes(rig.write(entry, BigInt(other) | PWU))).toEqual([
        ['page-out', VA, entry, 4],
        ['page-out', mirrorOf(slot), entry, 1],
        ['page-in', mirrorOf(slot), entry, 1],
      ]);
    });
  });

  test('accessed and dirty bits that the processor set meanwhile are not a cause', () => {
    const { rig, pde, pte } = watched();
    rig.poke(pde, rig.read(pde) | A);
    rig.poke(pte, rig.read(pte) | A | D);
    const [event] = rig.write(pte, 0n);
    expect(event!.cause).toMatchObject({ entryPa: pte, level: 1, newValue: 0n });
  });

  test('resync has no vCPU, and a cause', () => {
    const { rig, pte } = watched();
    rig.poke(pte, 0n);
    expect(rig.monitor.resync()).toMatchObject([
      { kind: 'page-out', vcpu: null, cause: { entryPa: pte, level: 1, oldValue: 0x5000n | PWU, newValue: 0n } },
    ]);
  });

  test('entries of legacy paging have 32 bits', () => {
    const rig = new Rig({ mode: '32-bit' });
    const root = rig.frame();
    rig.build(root, 0xc000_1000n, 0x5000n | PWU);
    rig.monitor.monitor({ root, va: 0xc000_1000n });
    const pte = rig.entry(root, 0xc000_1000n, 1);
    expect(rig.write(pte, 0xffff_f000n | P)).toMatchObject([
      { kind: 'page-out', pa: 0x5000, cause: { oldValue: 0x5007n, newValue: 0xffff_f001n } },
      { kind: 'page-in', pa: 0xffff_f000 },
    ]);
  });

  test('events may be kept: the next batch does not touch them', () => {
    const { rig, pte } = watched();
    const first = rig.write(pte, 0n);
    const copy = structuredClone(first);
    const second = rig.write(pte, 0x6000n | PWU);
    expect(first).toEqual(copy);
    expect(second).not.toBe(first);
    expect(rig.monitor.processDirtyEntries(0)).not.toBe(rig.monitor.processDirtyEntries(0));
  });
});

describe('E7 order depends on nothing but the calls', () => {
  test('the same calls twice give the same text', () => {
    const story = (): string => {
      const rig = new Rig({ views: 2 });
      const [first, second] = [rig.frame(), rig.frame()];
      for (const root of [second, first]) rig.build(root, VA, 0x5000n | PWU);
      for (const root of [first, second]) {
        for (const view of [1, 0]) rig.monitor.monitor({ root, va: VA + 8n, view });
        rig.monitor.monitorRange({ root, va: VA - 4096n, byteLength: 12288 });
      }
      const shared = rig.read(rig.entry(first, VA, 4));
      const events = [...rig.write(rig.slot(second, VA, 4), shared), ...rig.write(rig.entry(first, VA, 2), 0n)];
      return JSON.stringify(events, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value));
    };
    expect(story()).toBe(story());
    expect(story()).toContain('page-out');
  });
});

describe('E5 the cause is a 64-bit entry, at any place of its table', () => {
  const VA_SECOND = 0x1000n;
  const LOW = 0x5000n | PWU;
  const HIGH = 0x12_3400_5000n | PWU | XD;

  // The first and the third page are watched as well, so the second is in the middle of what is held.
  const three = () => {
    const rig = new Rig({ kinds: ['protection'] });
    const root = rig.frame();
    for (const va of [0n, VA_SECOND, 0x2000n]) {
      rig.build(root, va, LOW);
      rig.monitor.monitor({ root, va });
    }
    return { rig, root, pte: rig.entry(root, VA_SECOND, 1) };
  };

  const seen = [
    ['a write that is reported', (rig: Rig, pte: number) => rig.write(pte, HIGH)],
    [
      'a comparison',
      (rig: Rig, pte: number) => {
        rig.poke(pte, HIGH);
        return rig.monitor.resync();
      },
    ],
  ] as const;

  test.each(seen)('a change of the upper half alone, found by %s', (_, change) => {
    const { rig, pte } = three();
    const cause = { entryPa: pte, level: 1, oldValue: LOW, newValue: HIGH };
    expect(change(rig, pte)).toMatchObject([
      { kind: 'page-out', va: VA_SECOND, pa: 0x5000, cause },
      { kind: 'page-in', va: VA_SECOND, pa: 0x12_3400_5000, cause },
    ]);
    expect(rig.monitor.resync()).toEqual([]);
  });

  test.each(seen)('rights that change in the upper half alone, found by %s', (_, change) => {
    const { rig, pte } = three();
    change(rig, pte);
    rig.poke(pte, HIGH & ~XD);
    expect(rig.monitor.resync()).toMatchObject([
      { kind: 'protection', va: VA_SECOND, cause: { entryPa: pte, oldValue: HIGH, newValue: HIGH & ~XD } },
    ]);
  });
});
