/**
 * The watched addresses of one (view, root), and the tree of tables on their walks.
 *
 * Pages are counted through the translated address bits, so the upper half follows the lower one without the hole between
 * them (`foldVpn`): a page's slots are then plain digits of its number.
 */
import { frameOffsetOf, gfnOf } from '../address/pa.ts';
import type { Pa } from '../address/types.ts';
import { type Paging, slotOf } from '../paging/format.ts';
import type { NumberList } from '../struct/number-list.ts';
import { Coverage, type Piece } from './coverage.ts';
import { Watch } from './references.ts';
import { TableNode } from './table-node.ts';
import type { Unsettled } from './unsettled.ts';

/** A slot that is held, and that nothing has read yet. */
export interface UnreadSlot {
  readonly node: TableNode;
  readonly position: number;
}

/** A watch that was just added. */
export interface NewWatch {
  readonly watch: Watch;
  /** Where its walk leaves the slots that were held before; null where it does not. */
  readonly firstNew: UnreadSlot | null;
}

/** A watched address, or a piece of a range. */
export interface Watched {
  readonly page: number;
  readonly pages: number;
  readonly watch: Watch | null;
  readonly piece: Piece | undefined;
}

export class AddressSpace {
  readonly view: number;
  readonly root: Pa;
  readonly top: TableNode;
  readonly coverage: Coverage;
  /** What is still to be said of addresses that another vCPU's unprocessed write has changed. Keyed by `settlingKey`. */
  readonly unsettled = new Map<Watch | number, Unsettled>();

  /** Until the first watch has found out whether there is a table at the root. */
  isNew = true;

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
    return this.top.slots.length === 0;
  }

  /** The node of the page table that spans `page`, whether a table backs it or not. */
  pageTableOf(page: number): TableNode | null {
    let node: TableNode | null = this.top;
    while (node !== null && !node.isPageTable) {
      const position: number = node.slots.find(slotOf(node.format, page));
      node = position < 0 ? null : node.children[position]!;
    }
    return node;
  }

  findWatch(page: number, offset: number): Watch | null {
    const node = this.pageTableOf(page);
    if (node === null) return null;
    const position = node.slots.find(slotOf(node.format, page));
    let watch = position < 0 ? null : node.watchesAt(position);
    while (watch !== null && watch.offset !== offset) watch = watch.next;
    return watch;
  }

  /** Watches one byte of a page. The slots that this adds are unread; `firstNew` is the topmost of them. */
  addWatch(page: number, offset: number, paging: Paging): NewWatch {
    let firstNew: NewWatch['firstNew'] = null;
    let node = this.top;
    for (;;) {
      const slot = slotOf(node.format, page);
      let position = node.slots.find(slot);
      if (position < 0) {
        position = node.insert(~position, slot);
        firstNew ??= { node, position };
      }
      node.watchCount++;
      if (node.isPageTable) return { watch: linkWatch(node, position, offset), firstNew };
      node = this.childAt(node, position, paging);
    }
  }

  /** Takes a watch out of its page. The slots stay until they are pruned. */
  removeWatch(page: number, watch: Watch): void {
    const node = this.pageTableOf(page)!;
    const position = node.slots.find(slotOf(node.format, page));
    const first = node.watchesAt(position)!;
    if (first === watch) {
      node.setWatches(position, watch.next);
    } else {
      let before = first;
      while (before.next !== watch) before = before.next!;
      before.next = watch.next;
    }
    for (let each: TableNode | null = node; each !== null; each = each.parent) each.watchCount--;
  }

  /**
   * The child below a slot, made if need be. A new child holds what ranges cover of it from the start: every node holds all
   * covered slots of its span, so that a table that appears is read in one go.
   */
  childAt(node: TableNode, position: number, paging: Paging): TableNode {
    const known = node.children[position];
    if (known) return known;
    const child = new TableNode(this, paging.byLevel[node.format.level - 1]!, node, node.pageAt(position), 0);
    this.cover(child, child.firstPage, child.firstPage + node.format.slotPages - 1);
    node.children[position] = child;
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
        const position = node.slots.find(slot);
        if (position < 0) added.push({ node, position: node.insert(~position, slot) });
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
    const [from, end] = positionsBetween(node, first, last);
    for (let position = from; position < end && !node.isPageTable; position++) {
      const child = node.children[position]!;
      if (child !== null) this.#coverBelow(child, first, last, added);
    }
  }

  /** Adds the physical addresses of the entries on the walks between two pages. */
  collectEntries(first: number, last: number, entryBytes: number, into: NumberList, node = this.top): void {
    if (node.frame === null) return;
    const [from, end] = positionsBetween(node, first, last);
    for (let position = from; position < end; position++) {
      into.push(node.entryPa(node.frame.gfn, position, entryBytes));
      const child = node.isPageTable ? null : node.children[position]!;
      if (child !== null) this.collectEntries(first, last, entryBytes, into, child);
    }
  }

  /** Single addresses, ascending, and then the pieces of ranges, ascending. */
  *watched(): Generator<Watched> {
    yield* this.#watchesOf(this.top);
    for (const piece of this.coverage.pieces) {
      yield { page: piece.first, pages: piece.last - piece.first + 1, watch: null, piece };
    }
  }

  *#watchesOf(node: TableNode): Generator<Watched> {
    for (let position = 0; position < node.slots.length; position++) {
      if (!node.isPageTable) {
        const child = node.children[position]!;
        if (child !== null) yield* this.#watchesOf(child);
        continue;
      }
      const page = node.pageAt(position);
      for (let watch = node.watchesAt(position); watch !== null; watch = watch.next) {
        yield { page, pages: 1, watch, piece: watch.offset === 0 ? this.coverage.find(page) : undefined };
      }
    }
  }

  /** Drops what nothing watches any more between two pages. `forget` detaches a node that goes. */
  prune(first: number, last: number, forget: (node: TableNode) => void): void {
    this.#prune(this.top, first, last, forget);
    if (this.top.slots.length === 0) forget(this.top);
  }

  #prune(node: TableNode, first: number, last: number, forget: (node: TableNode) => void): void {
    const { slotPages } = node.format;
    const [from, end] = positionsBetween(node, first, last);
    for (let position = end - 1; position >= from; position--) {
      const start = node.pageAt(position);
      const child = node.isPageTable ? null : node.children[position]!;
      if (child !== null) {
        this.#prune(child, first, last, forget);
        if (child.slots.length === 0 || (child.watchCount === 0 && child.frame === null)) {
          forget(child);
          node.children[position] = null;
        }
      }
      const watched = node.isPageTable ? node.watchesAt(position) !== null : (child?.watchCount ?? 0) > 0;
      if (!watched && !this.coverage.overlaps(start, start + slotPages - 1)) node.remove(position);
    }
  }
}

/** The positions of a node's slots that share a page with `first` to `last`: from the one up to the other, without it. */
function positionsBetween(node: TableNode, first: number, last: number): [from: number, end: number] {
  if (first === last) {
    const position = node.slots.find(slotOf(node.format, first));
    return position < 0 ? [0, 0] : [position, position + 1];
  }
  const { slotPages } = node.format;
  return [
    node.slots.lowerBound(Math.floor((first - node.firstPage) / slotPages)),
    node.slots.lowerBound(Math.floor((last - node.firstPage) / slotPages) + 1),
  ];
}

function linkWatch(node: TableNode, position: number, offset: number): Watch {
  const first = node.watchesAt(position);
  if (first === null || first.offset > offset) {
    const watch = new Watch(offset, first);
    node.setWatches(position, watch);
    return watch;
  }
  let before = first;
  while (before.next !== null && before.next.offset < offset) before = before.next;
  before.next = new Watch(offset, before.next);
  return before.next;
}

/** What an address's unsettled state is filed under: its watch, or its page where a range watches the page's start too. */
export function settlingKey(page: number, watch: Watch | null): Watch | number {
  return watch === null || watch.offset === 0 ? page : watch;
}
