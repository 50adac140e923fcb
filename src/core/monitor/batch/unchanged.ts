/**
 * A comparison with memory that most often finds nothing, in one step. A session makes it at stops of an exact watch, so it repeats the
 * loop of `Synchronizer.#compare`, without its steps, which take time.
 */
import { NumberList } from '../../struct/number-list.ts';
import { finish } from '../steps.ts';
import type { AddressSpaces } from '../tables/address-spaces.ts';
import type { ReverseMap } from '../tables/rmap.ts';
import type { Calls } from './calls.ts';
import type { Plan } from './plan.ts';

/** Frames with tables that may be looked through in one step, by what of them is compared. */
const MAX_FRAMES = { all: 256, above: 4096 } as const;
/** Tables that may be compared in one step. */
const MAX_TABLES = 256;

interface Parts {
  readonly calls: Calls;
  readonly plan: Plan;
  readonly rmap: ReverseMap;
  readonly spaces: AddressSpaces;
}

/** Whether a comparison would find nothing; false, too, where there is much to compare. @throws what the source throws */
export function isUnchanged({ calls, plan, rmap, spaces }: Parts, scope: 'all' | 'above'): boolean {
  if (rmap.size > MAX_FRAMES[scope]) return false;
  calls.begin();
  const differing = new NumberList();
  let tables = 0;
  try {
    for (const first of rmap.firsts()) {
      for (let node: typeof first | null = first; node !== null; node = node.nextInFrame) {
        if (scope === 'above' && node.isPageTable) continue;
        if (++tables > MAX_TABLES) return false;
        plan.compare(node, differing);
      }
    }
    const isRead = plan.missing.length === 0;
    return isRead && differing.length === 0 && spaces.inView(undefined).every(({ top }) => top.frame !== null);
  } finally {
    if (plan.missing.length > 0) finish(plan.rollBack());
    calls.end();
  }
}
