/**
 * The single watches of one page: who watches which of its bytes.
 *
 * Nearly every watched page has one watch, with one reference and at most one tag. The record of the page's slot stores that one
 * itself (`table-node`). Anything more is a chain of `Watch` objects, by offset.
 */
import { nextTurn, References, type Tag } from '../../struct/references.ts';

/** A watched byte of a page, where it needs more than one reference and one tag, or shares the page with another. */
export class Watch extends References {
  /** 0 to 4095. */
  readonly offset: number;
  /** The next watched byte of the same page. */
  next: Watch | null;

  constructor(offset: number, next: Watch | null) {
    super();
    this.offset = offset;
    this.next = next;
  }
}

/** A watch with one reference and no tag. */
export const UNTAGGED = Symbol('untagged');

/** Who watches an address singly: the tag of its only reference, or a `Watch`. */
export type Watcher = Tag | typeof UNTAGGED | Watch;

/** The page table whose records store the watches of its pages. */
interface WatchedTable {
  /** The only watcher of the page at a position, or the first of the chain; null where there is none. */
  watcherAt(position: number): Watcher | null;
  /** Where in its page the only watcher at `position` watches, if it is no `Watch`. */
  offsetAt(position: number): number;
  setWatcher(position: number, watcher: Watcher | null, offset: number): void;
  /** Whether ranges include the page at `position`. */
  isInRange(position: number): boolean;
}

/** Who watches one byte of a page; null where nobody does. */
export function findWatcher(table: WatchedTable, position: number, offset: number): Watcher | null {
  const first = table.watcherAt(position);
  if (first === null || !(first instanceof Watch))
    return first !== null && table.offsetAt(position) === offset ? first : null;
  let watch: Watch | null = first;
  while (watch !== null && watch.offset !== offset) watch = watch.next;
  return watch;
}

/** Adds one reference to one byte of a page. */
export function addReference(table: WatchedTable, position: number, offset: number, tag: Tag | undefined): void {
  const first = table.watcherAt(position);
  // A record does not say which came first, its tag or that of a range: without a `Watch`, its tag did.
  const isLater = tag !== undefined && offset === 0 && table.isInRange(position);
  if (first === null && !isLater) return table.setWatcher(position, tag ?? UNTAGGED, offset);
  let before: Watch | null = null;
  let watch: Watch | null = first === null ? null : makeChain(table, position);
  while (watch !== null && watch.offset < offset) {
    before = watch;
    watch = watch.next;
  }
  if (watch === null || watch.offset !== offset) {
    watch = new Watch(offset, watch);
    if (before === null) table.setWatcher(position, watch, 0);
    else before.next = watch;
  }
  watch.add(tag, nextTurn());
}

/** Releases one reference (of `tag`) to one byte that is watched. Returns whether there was one. */
export function releaseReference(table: WatchedTable, position: number, offset: number, tag: Tag | undefined): boolean {
  const first = table.watcherAt(position);
  if (!(first instanceof Watch)) {
    if (tag !== undefined && first !== tag) return false;
    table.setWatcher(position, null, 0);
    return true;
  }
  const watch = findWatcher(table, position, offset) as Watch;
  if (!watch.release(tag)) return false;
  if (watch.count === 0) releaseAll(table, position, offset);
  return true;
}

/** Releases every reference to one byte that is watched. */
export function releaseAll(table: WatchedTable, position: number, offset: number): void {
  const first = table.watcherAt(position);
  if (!(first instanceof Watch)) return table.setWatcher(position, null, 0);
  if (first.offset === offset) return table.setWatcher(position, first.next, 0);
  let before = first;
  while (before.next!.offset !== offset) before = before.next!;
  before.next = before.next!.next;
}

export function referenceCount(watcher: Watcher | null): number {
  if (watcher === null) return 0;
  return watcher instanceof Watch ? watcher.count : 1;
}

/** A fresh array. */
export function tagsOf(watcher: Watcher): Tag[] {
  if (watcher instanceof Watch) return watcher.tags();
  return watcher === UNTAGGED ? [] : [watcher];
}

/** Every watched byte of a page, ascending. */
export function* watchersAt(
  table: WatchedTable,
  position: number,
): Generator<{ readonly offset: number; readonly watcher: Watcher }> {
  const first = table.watcherAt(position);
  if (first instanceof Watch) {
    for (let watch: Watch | null = first; watch !== null; watch = watch.next)
      yield { offset: watch.offset, watcher: watch };
  } else if (first !== null) {
    yield { offset: table.offsetAt(position), watcher: first };
  }
}

/** Turns the watches of a page into a chain, where they are none yet. */
function makeChain(table: WatchedTable, position: number): Watch {
  const first = table.watcherAt(position)!;
  if (first instanceof Watch) return first;
  const watch = new Watch(table.offsetAt(position), null);
  watch.add(first === UNTAGGED ? undefined : first, 0);
  table.setWatcher(position, watch, 0);
  return watch;
}
