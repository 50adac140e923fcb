/** Tables of one root and tables that two share, with gaps and without: a write is told as it is, whatever way it takes through the node. */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { PWU, Rig } from '../rig.ts';

const VA = 0x7f12_3440_0000n;
// Few, so that often all are watched.
const PAGES = 4;
const ACCESSED_DIRTY = 0x60n;

const steps = fc.array(
  fc.record({
    does: fc.constantFrom(
      'monitor' as const,
      'monitor' as const,
      'unmonitor' as const,
      'use' as const,
      'flip' as const,
    ),
    which: fc.nat({ max: 1 }),
    page: fc.integer({ min: 0, max: PAGES - 1 }),
  }),
  { maxLength: 60, size: 'max' },
);

test('the accessed and dirty bits that a write left are in the cause of the next', () => {
  fc.assert(
    fc.property(steps, (each) => {
      const rig = new Rig();
      const roots = [rig.frame(), rig.frame()];
      const vaOf = (page: number) => VA + BigInt(page) * 0x1000n;
      for (const root of roots) {
        for (let page = 0; page < PAGES; page++) rig.build(root, vaOf(page), BigInt(0x5000 + page * 0x1000) | PWU);
      }
      // One page table for both.
      rig.poke(rig.entry(roots[1]!, VA, 2), rig.read(rig.entry(roots[0]!, VA, 2)));
      const watched = roots.map(() => new Set<number>());
      for (const { does, which, page } of each) {
        const root = roots[which]!;
        const pa = rig.entry(root, vaOf(page), 1);
        if (does === 'monitor' && !watched[which]!.has(page)) {
          rig.monitor.monitor({ root, va: vaOf(page), tag: page });
          watched[which]!.add(page);
        } else if (does === 'unmonitor') {
          expect(rig.monitor.unmonitor({ root, va: vaOf(page), tag: page })).toBe(watched[which]!.delete(page));
        } else if (does === 'use' || does === 'flip') {
          const oldValue = rig.read(pa);
          const newValue = oldValue ^ (does === 'use' ? ACCESSED_DIRTY : 1n);
          expect(rig.monitor.markDirtyEntry(pa, 0, 0)).toBe(watched.some((pages) => pages.has(page)));
          rig.poke(pa, newValue);
          const told = rig.monitor.processDirtyEntries(0).map(({ root: of, va, cause }) => ({ of, va, cause }));
          const cause = { entryPa: pa, level: 1, oldValue, newValue };
          const those = does === 'use' ? [] : roots.filter((_, index) => watched[index]!.has(page));
          expect(new Set(told)).toEqual(new Set(those.map((of) => ({ of, va: vaOf(page), cause }))));
        }
      }
    }),
    { numRuns: 300 },
  );
});
