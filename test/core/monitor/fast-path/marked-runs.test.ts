/** A source that traps runs of entries marks many that were not written: what is reported is the same, whichever way a batch takes. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { P, PWU, Rig } from '../rig.ts';

const VA = 0x7f12_3440_0000n;
const PAGES = 600;
/** Two page tables that are not in memory at first. */
const ABSENT = [0x9000, 0x9001] as const;

const table = fc.integer({ min: 1, max: 4 });
const slot = fc.integer({ min: 0, max: 511 });
const value = fc.constantFrom(
  0n,
  0x5000n | PWU,
  0x6000n | P,
  0x6060n | PWU,
  (BigInt(ABSENT[0]) * 0x1000n) | PWU,
  (BigInt(ABSENT[1]) * 0x1000n) | PWU,
);
const write = fc.record({
  does: fc.constant('write' as const),
  table,
  first: slot,
  slots: fc.integer({ min: 1, max: 512 }),
  changes: fc.array(fc.record({ at: slot, value }), { maxLength: 3 }),
});
const step = fc.oneof(
  { weight: 6, arbitrary: write },
  { weight: 1, arbitrary: fc.record({ does: fc.constant('appears' as const), gfn: fc.constantFrom(...ABSENT) }) },
  {
    weight: 1,
    arbitrary: fc.record({ does: fc.constant('watch' as const), page: fc.integer({ min: 0, max: PAGES }) }),
  },
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function built(fastPath: boolean) {
  const rig = new Rig({ fastPath });
  const root = rig.frame();
  rig.build(root, VA, 0x5000n | PWU);
  rig.build(root, VA + 0x20_0000n, (BigInt(ABSENT[0]) * 0x1000n) | PWU, 2);
  rig.monitor.monitorRange({ root, va: VA, byteLength: BigInt(PAGES) * 0x1000n });
  return { rig, root };
}

function take({ rig, root }: ReturnType<typeof built>, given: Step): unknown {
  const { monitor, memory } = rig;
  if (given.does === 'appears') return memory.addPage(given.gfn);
  if (given.does === 'watch') return monitor.monitor({ root, va: VA + BigInt(given.page) * 0x1000n, tag: given.page });
  const frame = rig.entry(root, VA, given.table) & ~0xfff;
  const slots = Math.min(given.slots, 512 - given.first);
  const isMonitored = monitor.markDirty(frame + given.first * 8, slots * 8, 0, 0);
  for (const { at, value: next } of given.changes) {
    // The way to the tables stays; a slot of the run is written.
    const pa = frame + (given.first + (at % slots)) * 8;
    if (given.table === 1 || pa !== rig.entry(root, VA, given.table)) rig.poke(pa, next);
  }
  return [isMonitored, monitor.processDirtyEntries(0)];
}

test('with the fast path and without it', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const [fast, slow] = [built(true), built(false)];
      for (const each of steps) {
        expect(take(fast, each)).toEqual(take(slow, each));
        expect(fast.rig.monitor.dump()).toEqual(slow.rig.monitor.dump());
      }
      expect(fast.rig.monitor.resync()).toEqual(slow.rig.monitor.resync());
    }),
    { numRuns: 100 },
  );
});

test('a page table that was not in memory, and is by the time its unchanged entry is marked', () => {
  const { rig, root } = built(true);
  rig.memory.addPage(ABSENT[0]);
  rig.poke(ABSENT[0] * 0x1000, 0x7000n | PWU);
  const directory = rig.entry(root, VA, 2) & ~0xfff;
  expect(rig.monitor.markDirty(directory, 0x1000, 0, 0)).toBe(true);
  expect(rig.monitor.processDirtyEntries(0)).toMatchObject([{ kind: 'page-in', va: VA + 0x20_0000n, pa: 0x7000 }]);
});
