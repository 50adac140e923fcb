/** Physical memory as a map of who has which frame. */
import { frameStep } from './look.ts';
import type { Run } from './runs.ts';

/** Frames that follow each other and have the same owners. */
export interface FrameRun {
  readonly gfn: number;
  readonly pages: number;
  /** Index of the first space that maps them. */
  readonly owner: number;
  /** How many spaces map them. */
  readonly owners: number;
}

/**
 * The frames that spaces map, ascending. A frame that one space maps twice has one owner.
 *
 * @param spaces of each, its runs
 */
export function frameRuns(spaces: readonly (readonly Run[])[]): FrameRun[] {
  const edges: { at: number; owner: number; add: 1 | -1 }[] = [];
  for (const [owner, runs] of spaces.entries()) {
    for (const [, pages, look, gfn] of runs) {
      if (gfn < 0) continue;
      edges.push({ at: gfn, owner, add: 1 }, { at: gfn + (frameStep(look) === 0 ? 1 : pages), owner, add: -1 });
    }
  }
  edges.sort((a, b) => a.at - b.at);
  const present = new Map<number, number>();
  const found: FrameRun[] = [];
  let from = 0;
  for (const { at, owner, add } of edges) {
    if (at > from && present.size > 0) push(found, from, at, present);
    from = at;
    const count = (present.get(owner) ?? 0) + add;
    if (count === 0) present.delete(owner);
    else present.set(owner, count);
  }
  return found;
}

function push(found: FrameRun[], from: number, to: number, present: ReadonlyMap<number, number>): void {
  const owner = Math.min(...present.keys());
  const owners = present.size;
  const last = found.at(-1);
  if (last !== undefined && last.gfn + last.pages === from && last.owner === owner && last.owners === owners) {
    found[found.length - 1] = { ...last, pages: last.pages + to - from };
  } else {
    found.push({ gfn: from, pages: to - from, owner, owners });
  }
}
