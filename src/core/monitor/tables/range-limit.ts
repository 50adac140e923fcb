/**
 * `maxRangePages`: how many nodes the ranges of one address space may make (rule C8). Counted in entries of their tables, not in pages.
 *
 * A node stands for one path to a table. A guest can make many paths with few tables: if k entries of a PML4 point at that PML4,
 * there are k + k^2 + k^3 paths to it, at the three levels below. Each node that exists because of ranges counts with all the
 * entries of its table. Where one address space reaches a table several times at the same level, the nodes after the first are repeats. All
 * repeats together may use a 16th of the limit, so that tables that point at each other use up that part only. Nodes of single watches
 * are not limited: a watch has at most one at each level.
 */
import type { LevelFormat } from '../../paging/format.ts';

/** Entries: of 16,384 page tables, which map 32 GiB, and take some 100 MB here. */
export const DEFAULT_RANGE_PAGES = 2 ** 23;

/** Part of the limit that repeated tables may use. */
const REPEATED_SHARE = 16;

export class RangeLimit {
  readonly #limit: number;
  #entries = 0;
  #repeatedEntries = 0;
  /** Nodes that are counted, by table and level. */
  #nodes: Map<number, number> | null = null;
  /** Whether the limit has stopped an entry from being followed: stays true until the space has no ranges. */
  isCut = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Whether a table may get one more node at the level of `format`. @param isInstead whether the node takes the place of a counted one */
  admits(gfn: number, { level, slots }: LevelFormat, isInstead: boolean): boolean {
    if (!isInstead && this.#entries + slots > this.#limit) return false;
    return (
      this.#nodes?.has(keyOf(gfn, level)) !== true || this.#repeatedEntries + slots <= this.#limit / REPEATED_SHARE
    );
  }

  add(gfn: number, { level, slots }: LevelFormat): void {
    const key = keyOf(gfn, level);
    // Most address spaces have no ranges.
    this.#nodes ??= new Map();
    const count = this.#nodes.get(key) ?? 0;
    this.#nodes.set(key, count + 1);
    this.#entries += slots;
    if (count > 0) this.#repeatedEntries += slots;
  }

  remove(gfn: number, { level, slots }: LevelFormat): void {
    const key = keyOf(gfn, level);
    const nodes = this.#nodes!;
    const count = nodes.get(key)!;
    if (count > 1) nodes.set(key, count - 1);
    else nodes.delete(key);
    this.#entries -= slots;
    if (count > 1) this.#repeatedEntries -= slots;
  }
}

function keyOf(gfn: number, level: number): number {
  return gfn * 8 + level;
}
