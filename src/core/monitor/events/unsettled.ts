/**
 * Watched addresses that another vCPU's unprocessed write has changed (rule C4).
 *
 * Processing one vCPU also reads entries that other vCPUs have marked: the addresses that this vCPU touches must come out true.
 * Other addresses then move in the nodes without an event. What was last reported of them is kept here until the vCPU that
 * moved them is processed.
 */
import type { Cause } from '../events.ts';
import type { Mapping } from '../tables/mapping.ts';
import type { Space } from '../tables/table-node.ts';

export interface Unsettled {
  readonly page: number;
  /** Of the address within its page. */
  readonly offset: number;
  /** What was last reported, or found when the watch began. */
  readonly reported: Mapping;
  /** The last change of an entry of its walk. */
  readonly cause: Cause;
  /** The last one that led it elsewhere; null where only rights or page sizes have changed. */
  readonly moved: Cause | null;
}

/** By page: the unsettled bytes of it. */
type Pages = Map<number, Unsettled[]>;

/**
 * The cause to name for an address that was reported as `reported` and is `after` now. Where the address moved, this is the last
 * change that moved it, never a later one of rights alone.
 */
export function causeOf({ cause, moved, reported }: Omit<Unsettled, 'page' | 'offset'>, after: Mapping): Cause {
  return reported.gfn === after.gfn ? cause : (moved ?? cause);
}

export class UnsettledAddresses {
  readonly #spaces = new Map<Space, Pages>();
  /** Every call asks this: a field is faster than a map's size. */
  #isEmpty = true;

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  find(space: Space, page: number, offset: number): Unsettled | undefined {
    return this.#spaces
      .get(space)
      ?.get(page)
      ?.find((each) => each.offset === offset);
  }

  hasAny(space: Space): boolean {
    return !this.#isEmpty && this.#spaces.has(space);
  }

  /** A copy. */
  of(space: Space): Unsettled[] {
    return [...(this.#spaces.get(space)?.values() ?? [])].flat();
  }

  /** The spaces that have any: a copy. */
  spaces(): Space[] {
    return [...this.#spaces.keys()];
  }

  /** Adds an address, or replaces what is known of it. */
  set(space: Space, unsettled: Unsettled): void {
    let pages = this.#spaces.get(space);
    if (pages === undefined) {
      pages = new Map();
      this.#spaces.set(space, pages);
      this.#isEmpty = false;
    }
    const { page, offset } = unsettled;
    const others = pages.get(page)?.filter((each) => each.offset !== offset) ?? [];
    pages.set(page, [...others, unsettled]);
  }

  delete(space: Space, page: number, offset: number): void {
    const rest = this.#spaces
      .get(space)
      ?.get(page)
      ?.filter((each) => each.offset !== offset);
    if (rest !== undefined) this.#setPage(space, page, rest);
  }

  /** Deletes the addresses between two pages that are watched no longer. */
  deleteReleased(space: Space, first: number, last: number): void {
    const pages = this.#spaces.get(space);
    if (pages === undefined) return;
    const isShort = last - first < pages.size;
    const those = isShort ? Array.from({ length: last - first + 1 }, (_, index) => first + index) : [...pages.keys()];
    for (const page of those) {
      const all = page < first || page > last ? undefined : pages.get(page);
      const rest = all?.filter(({ offset }) => space.isWatched(page, offset));
      if (rest !== undefined) this.#setPage(space, page, rest);
    }
  }

  deleteSpace(space: Space): void {
    this.#spaces.delete(space);
    this.#isEmpty = this.#spaces.size === 0;
  }

  #setPage(space: Space, page: number, rest: Unsettled[]): void {
    const pages = this.#spaces.get(space)!;
    if (rest.length > 0) pages.set(page, rest);
    else pages.delete(page);
    if (pages.size === 0) this.deleteSpace(space);
  }
}
