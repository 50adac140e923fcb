/**
 * Watched addresses that another vCPU's unprocessed write has changed (rule C4).
 *
 * Processing one vCPU also reads entries that other vCPUs have marked: the addresses that this vCPU touches must come out true.
 * Other addresses then move in the nodes without an event. What was last reported of them is kept here until the vCPU that
 * moved them is processed.
 *
 * The pages of a large leaf that ranges watch are one span (2^18 of them for 1 GiB). Where a part of it changes, the span is cut.
 */
import type { Cause } from '../events.ts';
import { Mapping } from '../tables/mapping.ts';
import type { Space } from '../tables/table-node.ts';

export interface Unsettled {
  readonly page: number;
  /** More than 1: neighbours whose frames are neighbours, too, or that nothing backed. Then `offset` is 0. */
  readonly pages: number;
  /** Of the address within its page. */
  readonly offset: number;
  /** What was last reported, or found when the watch began. */
  readonly reported: Mapping;
  /** The last change of an entry of its walk. */
  readonly cause: Cause;
  /** The last one that led it elsewhere; null where only rights or page sizes have changed. */
  readonly moved: Cause | null;
}

/** A watched address, or the first bytes of several pages. */
export type Addresses = Pick<Unsettled, 'page' | 'pages' | 'offset'>;

/**
 * The cause to name for an address that was reported as `reported` and is `after` now. Where the address moved, this is the last
 * change that moved it, never a later one of rights alone.
 */
export function causeOf(
  { cause, moved, reported }: Pick<Unsettled, 'cause' | 'moved' | 'reported'>,
  after: Mapping,
): Cause {
  return reported.gfn === after.gfn ? cause : (moved ?? cause);
}

export class UnsettledAddresses {
  readonly #spaces = new Map<Space, UnsettledPages>();
  /** Every call asks this: a field is faster than a map's size. */
  #isEmpty = true;

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  hasAny(space: Space): boolean {
    return !this.#isEmpty && this.#spaces.has(space);
  }

  /** What was last reported of an address; undefined where it is settled. */
  reportedOf(space: Space, page: number, offset: number): Mapping | undefined {
    return this.#spaces.get(space)?.reportedOf(page, offset);
  }

  /** The last page, `last` at most, up to which all pages from `page` on are settled, or are in one span. */
  alikeUntil(space: Space, page: number, last: number): number {
    return this.#spaces.get(space)?.alikeUntil(page, last) ?? last;
  }

  /** Takes addresses out that `alikeUntil` says are alike. Undefined where they are settled. */
  take(space: Space, addresses: Addresses): Unsettled | undefined {
    const pages = this.#spaces.get(space);
    const taken = pages?.take(addresses);
    if (pages?.isEmpty === true) this.deleteSpace(space);
    return taken;
  }

  /** Adds addresses that are not there, or have been taken out. */
  add(space: Space, unsettled: Unsettled): void {
    let pages = this.#spaces.get(space);
    if (pages === undefined) {
      pages = new UnsettledPages();
      this.#spaces.set(space, pages);
      this.#isEmpty = false;
    }
    pages.add(unsettled);
  }

  /** The first byte of a page is about to be watched by itself: it is in no span any more. */
  separate(space: Space, page: number): void {
    const alone = this.take(space, { page, pages: 1, offset: 0 });
    if (alone !== undefined) this.add(space, alone);
  }

  /** Ascending: a copy. */
  of(space: Space): Unsettled[] {
    const all = this.#spaces.get(space)?.all() ?? [];
    return all.sort((a, b) => a.page - b.page || a.offset - b.offset);
  }

  /** The spaces that have any: a copy. */
  spaces(): Space[] {
    return [...this.#spaces.keys()];
  }

  /** Deletes the addresses between two pages that are watched no longer. */
  deleteReleased(space: Space, first: number, last: number): void {
    const pages = this.#spaces.get(space);
    if (pages === undefined) return;
    pages.deleteReleased(space, first, last);
    if (pages.isEmpty) this.deleteSpace(space);
  }

  deleteSpace(space: Space): void {
    this.#spaces.delete(space);
    this.#isEmpty = this.#spaces.size === 0;
  }
}

/** Pages of a block, and of a chunk: no span is in two chunks. */
const BLOCK = 2 ** 9;
const CHUNK = 2 ** 18;

/**
 * Those of one space. A span is within one block, or consists of whole blocks: so a block or a chunk never has many of them, however
 * they are cut.
 */
class UnsettledPages {
  /** By page: the unsettled bytes of it. */
  readonly #single = new Map<number, Unsettled[]>();
  /** How many pages of each block are in `#single`. */
  readonly #counts = new Map<number, number>();
  /** By block: the spans within it. */
  readonly #within = new Map<number, Unsettled[]>();
  /** By chunk: the spans of whole blocks. */
  readonly #whole = new Map<number, Unsettled[]>();

  get isEmpty(): boolean {
    return this.#single.size === 0 && this.#within.size === 0 && this.#whole.size === 0;
  }

  all(): Unsettled[] {
    return [...this.#single.values(), ...this.#within.values(), ...this.#whole.values()].flat();
  }

  reportedOf(page: number, offset: number): Mapping | undefined {
    const single = this.#single.get(page)?.find((each) => each.offset === offset);
    if (single !== undefined || offset > 0) return single?.reported;
    const span = this.#spanAt(page);
    return span && partOf(span, page, 1).reported;
  }

  alikeUntil(page: number, last: number): number {
    if (this.#single.has(page)) return page;
    const span = this.#spanAt(page);
    if (span !== undefined) return Math.min(last, lastPageOf(span));
    const block = blockOf(page);
    if (this.#counts.has(block) || this.#within.has(block)) return page;
    // Whole blocks in which nothing is unsettled.
    for (let next = block + 1; next * BLOCK <= last; next++) {
      if (this.#counts.has(next) || this.#within.has(next) || this.#spanAt(next * BLOCK) !== undefined)
        return next * BLOCK - 1;
    }
    return last;
  }

  take({ page, pages, offset }: Addresses): Unsettled | undefined {
    const single = pages === 1 ? this.#single.get(page) : undefined;
    const alone = single?.find((each) => each.offset === offset);
    if (alone !== undefined) {
      this.#setSingle(
        page,
        single!.filter((each) => each !== alone),
      );
      return alone;
    }
    const span = offset === 0 ? this.#spanAt(page) : undefined;
    if (span === undefined) return undefined;
    this.#remove(span);
    const before = page - span.page;
    this.add(partOf(span, span.page, before));
    this.add(partOf(span, page + pages, span.pages - before - pages));
    return partOf(span, page, pages);
  }

  add(unsettled: Unsettled): void {
    const { page, pages } = unsettled;
    if (pages === 0) return;
    if (pages === 1) return this.#setSingle(page, [...(this.#single.get(page) ?? []), unsettled]);
    const end = page + pages;
    const [first, next] = [Math.ceil(page / BLOCK) * BLOCK, Math.floor(end / BLOCK) * BLOCK];
    if (blockOf(page) === blockOf(end - 1)) return addTo(this.#within, blockOf(page), unsettled);
    if (page === first && end === next) return addTo(this.#whole, chunkOf(page), unsettled);
    this.add(partOf(unsettled, page, first - page));
    this.add(partOf(unsettled, first, next - first));
    this.add(partOf(unsettled, next, end - next));
  }

  deleteReleased(space: Space, first: number, last: number): void {
    const single = this.#single;
    const isShort = last - first < single.size;
    const those = isShort ? Array.from({ length: last - first + 1 }, (_, index) => first + index) : [...single.keys()];
    for (const page of those) {
      const all = page < first || page > last ? undefined : single.get(page);
      const rest = all?.filter(({ offset }) => space.isWatched(page, offset));
      if (rest !== undefined) this.#setSingle(page, rest);
    }
    for (const span of this.#spansBetween(first, last)) {
      this.#remove(span);
      for (const part of watchedParts(space, span)) this.add(part);
    }
  }

  /** A copy. */
  #spansBetween(first: number, last: number): Unsettled[] {
    const isShort = blockOf(last) - blockOf(first) < this.#within.size + this.#whole.size;
    const lists = isShort
      ? [
          ...between(this.#within, blockOf(first), blockOf(last)),
          ...between(this.#whole, chunkOf(first), chunkOf(last)),
        ]
      : [...this.#within.values(), ...this.#whole.values()];
    return lists.flat().filter((span) => span.page <= last && lastPageOf(span) >= first);
  }

  #spanAt(page: number): Unsettled | undefined {
    const has = (span: Unsettled) => span.page <= page && page <= lastPageOf(span);
    return this.#within.get(blockOf(page))?.find(has) ?? this.#whole.get(chunkOf(page))?.find(has);
  }

  #remove(span: Unsettled): void {
    const { page, pages } = span;
    const isWithin = blockOf(page) === blockOf(page + pages - 1);
    const [lists, key] = isWithin ? [this.#within, blockOf(page)] : [this.#whole, chunkOf(page)];
    const rest = lists.get(key)!.filter((each) => each !== span);
    if (rest.length > 0) lists.set(key, rest);
    else lists.delete(key);
  }

  #setSingle(page: number, rest: Unsettled[]): void {
    const had = this.#single.has(page);
    if (rest.length > 0) this.#single.set(page, rest);
    else this.#single.delete(page);
    if (had === rest.length > 0) return;
    const block = blockOf(page);
    const count = (this.#counts.get(block) ?? 0) + (had ? -1 : 1);
    if (count > 0) this.#counts.set(block, count);
    else this.#counts.delete(block);
  }
}

const blockOf = (page: number) => Math.floor(page / BLOCK);
const chunkOf = (page: number) => Math.floor(page / CHUNK);

function addTo(lists: Map<number, Unsettled[]>, key: number, unsettled: Unsettled): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [unsettled]);
  else list.push(unsettled);
}

function between(lists: Map<number, Unsettled[]>, first: number, last: number): Unsettled[][] {
  return Array.from({ length: last - first + 1 }, (_, index) => lists.get(first + index) ?? []);
}

function lastPageOf({ page, pages }: Addresses): number {
  return page + pages - 1;
}

function partOf(span: Unsettled, page: number, pages: number): Unsettled {
  const reported = span.reported.copy();
  reported.setWithin(span.reported, page - span.page);
  return { ...span, page, pages, reported };
}

/** What ranges still include of a span. */
function watchedParts(space: Space, span: Unsettled): Unsettled[] {
  const last = lastPageOf(span);
  return [...space.ranges.overlapping(span.page, last)].map((segment) => {
    const first = Math.max(segment.first, span.page);
    return partOf(span, first, Math.min(segment.last, last) - first + 1);
  });
}
