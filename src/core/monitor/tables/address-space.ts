/**
 * The watched addresses of one (view, root), and the tree of tables on their walks.
 *
 * Page numbers count translated addresses only, so the upper half follows the lower one without the non-canonical hole
 * (`foldVpn`): a page's slots are then plain digits of its number.
 */
import { frameOffsetOf, gfnOf } from '../../address/pa.ts';
import type { Pa } from '../../address/types.ts';
import { type Paging, slotOf } from '../../paging/format.ts';
import type { NumberList } from '../../struct/number-list.ts';
import type { Tag } from '../../struct/references.ts';
import { Slab } from '../../struct/slab.ts';
import type { Stepwise } from '../steps.ts';
import { RangeLimit } from './range-limit.ts';
import { addReference, findWatcher, releaseAll, type Watcher, watchersAt } from './page-watches.ts';
import { RangeSet, type Segment } from './range-set.ts';
import { type EntrySet, type Space, TableNode } from './table-node.ts';

/** The same for all spaces of a monitor. */
export interface SpaceOptions {
  readonly paging: Paging;
  /** `MonitorOptions.maxRangePages`. */
  readonly maxRangePages: number;
  readonly entrySet: EntrySet;
}

/** Pages of one address space, from `first` to `last`. */
export interface SpacePages {
  readonly space: AddressSpace;
  readonly first: number;
  readonly last: number;
}

/** A slot that was added, and that nothing has read yet. */
export interface UnreadSlot {
  readonly node: TableNode;
  readonly slot: number;
}

/** A watched address, or a segment of ranges. */
export interface Watched {
  readonly page: number;
  readonly pages: number;
  readonly offset: number;
  readonly watcher: Watcher | null;
  readonly segment: Segment | undefined;
}

export class AddressSpace implements Space {
  readonly view: number;
  readonly root: Pa;
  readonly top: TableNode;
  readonly ranges: RangeSet;
  readonly rangeLimit: RangeLimit;
  readonly watchers = new Slab<Watcher>();
  readonly entrySet: EntrySet;
  /** Until the first watch has found out whether there is a table at the root. */
  isNew = true;
  readonly #paging: Paging;
  /** The page table that `pageTableOf` found last: callers watch and release neighbours one after the other. */
  #lastTable: TableNode | null = null;

  constructor({ paging, maxRangePages, entrySet }: SpaceOptions, view: number, root: Pa) {
    this.entrySet = entrySet;
    this.#paging = paging;
    this.view = view;
    this.root = root;
    this.ranges = new RangeSet(paging.lowEnd);
    this.rangeLimit = new RangeLimit(maxRangePages);
    const firstSlot = frameOffsetOf(root) / paging.mode.entryBytes;
    this.top = new TableNode({ space: this, format: paging.levels[0]!, parent: null, firstPage: 0, firstSlot });
  }

  get rootGfn(): number {
    return gfnOf(this.root);
  }

  get isEmpty(): boolean {
    return this.top.slotCount === 0;
  }

  /** The node of the page table that spans `page`, whether a table backs it or not. */
  pageTableOf(page: number): TableNode | null {
    const last = this.#lastTable;
    // A node loses its frame before it is dropped.
    if (last !== null && last.frame !== null && last.spans(page)) return last;
    let node: TableNode | null = this.top;
    while (node !== null && !node.isPageTable) {
      const position: number = node.positionOf(page);
      node = position < 0 ? null : node.childAt(position);
    }
    this.#lastTable = node;
    return node;
  }

  findWatcher(page: number, offset: number): Watcher | null {
    const node = this.pageTableOf(page);
    const position = node === null ? -1 : node.positionOf(page);
    return position < 0 ? null : findWatcher(node!, position, offset);
  }

  isWatched(page: number, offset: number): boolean {
    return (offset === 0 && this.ranges.overlaps(page, page)) || this.findWatcher(page, offset) !== null;
  }

  /** Watches one byte of a page that no single watch watches yet. Returns the topmost slot to read; null where none is new. */
  addWatch(page: number, offset: number, tag: Tag | undefined): UnreadSlot | null {
    let firstNew: UnreadSlot | null = null;
    let node = this.top;
    for (;;) {
      const slot = slotOf(node.format, page);
      let position = node.find(slot);
      if (position < 0) {
        position = node.insert(slot);
        firstNew ??= { node, slot };
      }
      if (node.isPageTable) {
        addReference(node, position, offset, tag);
        node.countWatch();
        return firstNew;
      }
      // An entry that ranges may not follow is followed now.
      if (this.rangeLimit.isCut && node.childAt(position) === null) firstNew ??= { node, slot };
      node = this.childAt(node, position);
    }
  }

  /** Removes the single watch of one byte of a page. Its slots stay until they are pruned. */
  removeWatch(page: number, offset: number): void {
    const node = this.pageTableOf(page)!;
    releaseAll(node, node.positionOf(page), offset);
    node.uncountWatch();
  }

  /**
   * The child below a slot, made if there is none. A new child has the slots that ranges cover from the start: every node has all
   * covered slots of its span, so that a table that appears is read in one go.
   */
  childAt(node: TableNode, position: number): TableNode {
    const known = node.childAt(position);
    if (known !== null) return known;
    const format = this.#paging.byLevel[node.format.level - 1]!;
    const firstPage = node.pageAt(position);
    const child = new TableNode({ space: this, format, parent: node, firstPage, firstSlot: 0 });
    this.#cover(child, firstPage, firstPage + child.pages - 1);
    node.setChild(position, child);
    return child;
  }

  /** Adds all slots between two pages that a range covers, in every node there. Returns those that were absent. */
  coverAll(first: number, last: number): UnreadSlot[] {
    const added: UnreadSlot[] = [];
    this.#coverBelow(this.top, first, last, added);
    return added;
  }

  #coverBelow(node: TableNode, first: number, last: number, added: UnreadSlot[]): void {
    const start = Math.max(first, node.firstPage);
    const stop = Math.min(last, node.firstPage + node.pages - 1);
    for (let slot = slotOf(node.format, start); slot <= slotOf(node.format, stop); slot++) {
      if (node.find(slot) >= 0) continue;
      node.insert(slot);
      added.push({ node, slot });
    }
    if (node.isPageTable) return;
    const end = node.slotTowards(last);
    for (let at = node.firstFrom(node.slotTowards(first)); at >= 0 && node.slotAt(at) <= end; at = node.nextAfter(at)) {
      const child = node.childAt(at);
      if (child !== null) this.#coverBelow(child, first, last, added);
    }
  }

  /** Adds the slots of a node that ranges cover between two pages. */
  #cover(node: TableNode, first: number, last: number): void {
    const start = Math.max(first, node.firstPage);
    const end = Math.min(last, node.firstPage + node.pages - 1);
    for (const segment of this.ranges.overlapping(start, end)) {
      const from = slotOf(node.format, Math.max(start, segment.first));
      const to = slotOf(node.format, Math.min(end, segment.last));
      for (let slot = from; slot <= to; slot++) {
        if (node.find(slot) < 0) node.insert(slot);
      }
    }
  }

  /** Adds the physical addresses of the entries on the walks between two pages to `into`. */
  collectEntries(first: number, last: number, into: NumberList): void {
    this.#collectBelow(this.top, first, last, into);
  }

  #collectBelow(node: TableNode, first: number, last: number, into: NumberList): void {
    if (node.frame === null) return;
    const { gfn } = node.frame;
    const end = node.slotTowards(last);
    for (let at = node.firstFrom(node.slotTowards(first)); at >= 0 && node.slotAt(at) <= end; at = node.nextAfter(at)) {
      into.push(node.entryPa(gfn, at, this.#paging.mode.entryBytes));
      const child = node.childAt(at);
      if (child !== null) this.#collectBelow(child, first, last, into);
    }
  }

  /** Single addresses, ascending, and then the segments of ranges, ascending. */
  *watched(): Generator<Watched> {
    yield* this.#watchesOf(this.top);
    for (const segment of this.ranges.segments) {
      yield { page: segment.first, pages: segment.last - segment.first + 1, offset: 0, watcher: null, segment };
    }
  }

  *#watchesOf(node: TableNode): Generator<Watched> {
    // Ranges alone may have millions of slots.
    if (node.watchCount === 0) return;
    for (let at = node.firstFrom(0); at >= 0; at = node.nextAfter(at)) {
      if (!node.isPageTable) {
        const child = node.childAt(at);
        if (child !== null) yield* this.#watchesOf(child);
        continue;
      }
      const page = node.pageAt(at);
      for (const { offset, watcher } of watchersAt(node, at)) {
        yield { page, pages: 1, offset, watcher, segment: offset === 0 ? this.ranges.find(page) : undefined };
      }
    }
  }

  /** Removes what nothing watches any more between two pages, a table in a step. `forget` releases the frame of a node that goes. */
  *prune(first: number, last: number, forget: (node: TableNode) => void): Stepwise<void> {
    yield* this.#pruneBelow(this.top, first, last, forget);
    if (this.top.slotCount === 0) forget(this.top);
  }

  *#pruneBelow(node: TableNode, first: number, last: number, forget: (node: TableNode) => void): Stepwise<void> {
    const end = node.slotTowards(last);
    let slot = node.slotTowards(first);
    for (let at = node.firstFrom(slot); at >= 0 && node.slotAt(at) <= end; at = node.firstFrom(slot)) {
      slot = node.slotAt(at) + 1;
      const child = node.childAt(at);
      if (child !== null) yield* this.#pruneBelow(child, first, last, forget);
      this.#pruneSlot(node, at, forget);
    }
    yield false;
  }

  /** The same for one page of a page table: looks no further up than something changes. */
  prunePage(pageTable: TableNode, page: number, forget: (node: TableNode) => void): void {
    for (let node: TableNode | null = pageTable; node !== null; node = node.parent) {
      this.#pruneSlot(node, node.positionOf(page), forget);
      if (node.slotCount > 0 && (node.watchCount > 0 || node.frame !== null)) return;
    }
    if (this.isEmpty) forget(this.top);
  }

  /** Drops the node below a slot, and the slot, where nothing needs them. */
  #pruneSlot(node: TableNode, position: number, forget: (node: TableNode) => void): void {
    const child = node.childAt(position);
    if (child !== null && (child.slotCount === 0 || (child.watchCount === 0 && child.frame === null))) {
      forget(child);
      node.setChild(position, null);
    }
    const isWatched = node.isPageTable ? node.watcherAt(position) !== null : child !== null && child.watchCount > 0;
    const first = node.pageAt(position);
    if (!isWatched && !this.ranges.overlaps(first, first + node.format.slotPages - 1)) node.remove(position);
  }
}
