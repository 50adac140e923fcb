/**
 * The watched addresses of one (view, root), and the tree of tables on their walks.
 *
 * Pages are counted through the translated address bits, so the upper half follows the lower one without the hole between
 * them (`foldVpn`): a page's slots are then plain digits of its number.
 */
import { frameOffsetOf, gfnOf } from '../../address/pa.ts';
import type { Pa } from '../../address/types.ts';
import { vaOf } from '../../address/va.ts';
import { type Paging, slotOf } from '../../paging/format.ts';
import type { NumberList } from '../../struct/number-list.ts';
import { Slab } from '../../struct/slab.ts';
import { Coverage, type Piece } from './range-set.ts';
import type { Tag } from '../events.ts';
import { hold, type Holder, holderAt, releaseAll, watchesAt } from './page-watches.ts';
import { TableNode } from './table-node.ts';
import type { Unsettled } from '../events/unsettled.ts';

/** A slot that is held, and that nothing has read yet. */
export interface UnreadSlot {
  readonly node: TableNode;
  readonly slot: number;
}

/** A watched address, or a piece of a range. */
export interface Watched {
  readonly page: number;
  readonly pages: number;
  readonly offset: number;
  readonly holder: Holder | null;
  readonly piece: Piece | undefined;
}

export class AddressSpace {
  readonly view: number;
  readonly root: Pa;
  readonly top: TableNode;
  readonly coverage: Coverage;
  /** What is still to be said of addresses that another vCPU's unprocessed write has changed. Keyed by `settlingKey`. */
  readonly unsettled = new Map<bigint, Unsettled>();

  /** Who watches singly, where that is more than a number (`TableNode`). */
  readonly holders = new Slab<Holder>();

  /** Until the first watch has found out whether there is a table at the root. */
  isNew = true;

  /** The page table that was asked for last: neighbours are watched, and let go, one after the other (20 ns instead of 60). */
  #lastTable: TableNode | null = null;

  constructor(paging: Paging, view: number, root: Pa) {
    this.view = view;
    this.root = root;
    this.coverage = new Coverage(paging.lowEnd);
    this.top = new TableNode(this, paging.levels[0]!, null, 0, frameOffsetOf(root) / paging.mode.entryBytes);
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
    // A node that is dropped has lost its frame before.
    if (last !== null && last.frame !== null && last.spans(page)) return last;
    let node: TableNode | null = this.top;
    while (node !== null && !node.isPageTable) {
      const position: number = node.positionOf(page);
      node = position < 0 ? null : node.childAt(position);
    }
    this.#lastTable = node;
    return node;
  }

  /** Who watches one byte of a page singly; null where nobody does. */
  findHolder(page: number, offset: number): Holder | null {
    const node = this.pageTableOf(page);
    const position = node === null ? -1 : node.positionOf(page);
    return position < 0 ? null : holderAt(node!, position, offset);
  }

  /** Whether anybody watches one byte of a page, singly or by a range. */
  isWatched(page: number, offset: number): boolean {
    return (offset === 0 && this.coverage.find(page) !== undefined) || this.findHolder(page, offset) !== null;
  }

  /** Watches one byte of a page that nobody watches singly. The slots that this adds are unread: answers the topmost of them. */
  addWatch(page: number, offset: number, tag: Tag | undefined, paging: Paging): UnreadSlot | null {
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
        hold(node, position, offset, tag);
        node.countWatch();
        return firstNew;
      }
      node = this.childAt(node, position, paging);
    }
  }

  /** Takes the watch of one byte out of its page. The slots stay until they are pruned. */
  removeWatch(page: number, offset: number): void {
    const node = this.pageTableOf(page)!;
    releaseAll(node, node.positionOf(page), offset);
    node.uncountWatch();
  }

  /**
   * The child below a slot, made if need be. A new child holds what ranges cover of it from the start: every node holds all
   * covered slots of its span, so that a table that appears is read in one go.
   */
  childAt(node: TableNode, position: number, paging: Paging): TableNode {
    const known = node.childAt(position);
    if (known !== null) return known;
    const child = new TableNode(this, paging.byLevel[node.format.level - 1]!, node, node.pageAt(position), 0);
    this.cover(child, child.firstPage, child.firstPage + node.format.slotPages - 1);
    node.setChild(position, child);
    return child;
  }

  /** Makes one node hold the slots that ranges cover between two pages. Adds those that it did not hold before. */
  cover(node: TableNode, first: number, last: number, added: UnreadSlot[] = []): UnreadSlot[] {
    const { slots, slotPages } = node.format;
    const start = Math.max(first, node.firstPage);
    const end = Math.min(last, node.firstPage + slots * slotPages - 1);
    for (const piece of this.coverage.overlapping(start, end)) {
      const from = slotOf(node.format, Math.max(start, piece.first));
      const to = slotOf(node.format, Math.min(end, piece.last));
      for (let slot = from; slot <= to; slot++) {
        if (node.find(slot) >= 0) continue;
        node.insert(slot);
        added.push({ node, slot });
      }
    }
    return added;
  }

  /** Makes every node between two pages hold the slots that ranges cover there. Answers those that are new. */
  coverAll(first: number, last: number): UnreadSlot[] {
    const added: UnreadSlot[] = [];
    this.#coverBelow(this.top, first, last, added);
    return added;
  }

  #coverBelow(node: TableNode, first: number, last: number, added: UnreadSlot[]): void {
    this.cover(node, first, last, added);
    if (node.isPageTable) return;
    const end = node.slotTowards(last);
    for (let at = node.firstFrom(node.slotTowards(first)); at >= 0 && node.slotAt(at) <= end; at = node.nextAfter(at)) {
      const child = node.childAt(at);
      if (child !== null) this.#coverBelow(child, first, last, added);
    }
  }

  /** Adds the physical addresses of the entries on the walks between two pages. */
  collectEntries(first: number, last: number, entryBytes: number, into: NumberList, node = this.top): void {
    if (node.frame === null) return;
    const end = node.slotTowards(last);
    for (let at = node.firstFrom(node.slotTowards(first)); at >= 0 && node.slotAt(at) <= end; at = node.nextAfter(at)) {
      into.push(node.entryPa(node.frame.gfn, at, entryBytes));
      const child = node.childAt(at);
      if (child !== null) this.collectEntries(first, last, entryBytes, into, child);
    }
  }

  /** Single addresses, ascending, and then the pieces of ranges, ascending. */
  *watched(): Generator<Watched> {
    yield* this.#watchesOf(this.top);
    for (const piece of this.coverage.pieces) {
      yield { page: piece.first, pages: piece.last - piece.first + 1, offset: 0, holder: null, piece };
    }
  }

  *#watchesOf(node: TableNode): Generator<Watched> {
    for (let at = node.firstFrom(0); at >= 0; at = node.nextAfter(at)) {
      if (!node.isPageTable) {
        const child = node.childAt(at);
        if (child !== null) yield* this.#watchesOf(child);
        continue;
      }
      const page = node.pageAt(at);
      for (const { offset, holder } of watchesAt(node, at)) {
        yield { page, pages: 1, offset, holder, piece: offset === 0 ? this.coverage.find(page) : undefined };
      }
    }
  }

  /** Drops what nothing watches any more between two pages. `forget` detaches a node that goes. */
  prune(first: number, last: number, forget: (node: TableNode) => void): void {
    this.#prune(this.top, first, last, forget);
    if (this.top.slotCount === 0) forget(this.top);
  }

  #prune(node: TableNode, first: number, last: number, forget: (node: TableNode) => void): void {
    const end = node.slotTowards(last);
    let slot = node.slotTowards(first);
    for (let at = node.firstFrom(slot); at >= 0 && node.slotAt(at) <= end; at = node.firstFrom(slot)) {
      slot = node.slotAt(at) + 1;
      const child = node.childAt(at);
      if (child !== null) this.#prune(child, first, last, forget);
      this.#pruneSlot(node, at, forget);
    }
  }

  /** The same where one page of a page table was let go: looks no further up than something has changed. */
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
    const isWatched = node.isPageTable ? node.watchedAt(position) !== null : child !== null && child.watchCount > 0;
    const first = node.pageAt(position);
    if (!isWatched && !this.coverage.overlaps(first, first + node.format.slotPages - 1)) node.remove(position);
  }
}

/** What an address's unsettled state is filed under. */
export function settlingKey(page: number, offset: number): bigint {
  return vaOf(page, offset);
}
