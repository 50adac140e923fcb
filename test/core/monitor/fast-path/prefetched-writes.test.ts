/** That the record of a write is prefetched changes nothing of what is held (`prefetch` stores into what it fetches). */
import fc from 'fast-check';
import { expect, test } from 'vitest';
import type { Tag } from '../../../../src/core/monitor/events.ts';
import { PWU, Rig } from '../rig.ts';

const VA = 0x7f12_3440_0000n;
const PAGES = 24;

const page = fc.integer({ min: 0, max: PAGES - 1 });
const offset = fc.constantFrom(0n, 0n, 0n, 8n, 0xfffn);
const tag = fc.constantFrom<Tag | undefined>(undefined, 0, 1, 7, 2 ** 32, 'a name');
const step = fc.oneof(
  fc.record({ does: fc.constant('monitor' as const), page, offset, tag }),
  fc.record({ does: fc.constant('unmonitor' as const), page, offset, tag }),
  fc.record({ does: fc.constant('range' as const), page, offset, tag }),
  fc.record({ does: fc.constant('no range' as const), page, offset, tag }),
  fc.record({ does: fc.constant('flip' as const), page, offset, tag }),
);
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

function built() {
  const rig = new Rig();
  const root = rig.frame();
  for (let each = 0; each < PAGES; each++) {
    rig.build(root, VA + BigInt(each) * 0x1000n, BigInt(0x5000 + each * 0x1000) | PWU);
  }
  const leaf = (of: number) => rig.entry(root, VA + BigInt(of) * 0x1000n, 1);
  const values = Array.from({ length: PAGES }, (_, each) => BigInt(0x5000 + each * 0x1000) | PWU);
  const flip = (of: number) => {
    values[of]! ^= 1n;
    return rig.write(leaf(of), values[of]!);
  };
  return { rig, root, leaf, flip };
}

function take({ rig, root, flip }: ReturnType<typeof built>, { does, page: of, offset: at, tag: name }: Step): unknown {
  const { monitor } = rig;
  const va = VA + BigInt(of) * 0x1000n;
  const named = name === undefined ? {} : { tag: name };
  if (does === 'flip') return flip(of);
  if (does === 'monitor') return monitor.monitor({ root, va: va + at, ...named });
  if (does === 'unmonitor') return monitor.unmonitor({ root, va: va + at, ...named });
  const range = { root, va, byteLength: Math.min(3, PAGES - of) * 0x1000, ...named };
  return does === 'range' ? monitor.monitorRange(range) : monitor.unmonitorRange(range);
}

test('whatever is watched beside it, singly and by ranges, by tags of all kinds', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
      const [quiet, loud] = [built(), built()];
      for (const each of steps) {
        for (let of = 0; of < PAGES; of++) loud.rig.monitor.markDirtyEntry(loud.leaf(of), 0, 0);
        expect(loud.rig.monitor.processDirtyEntries(0)).toEqual([]);
        expect(take(loud, each)).toEqual(take(quiet, each));
        expect(loud.rig.monitor.dump()).toEqual(quiet.rig.monitor.dump());
      }
    }),
    { numRuns: 300 },
  );
});
