/**
 * One table of a watched address space, seen from its virtual addresses.
 *
 * Nodes mirror the guest's radix tree, with only the slots on some watched walk. A node covers a span of virtual addresses and
 * stays while an address in it is watched. The physical table behind the span comes and goes:
 *
 *      frame === null    no walk reaches a table here: the span is unmapped, or a large leaf above maps it
 *      frame !== null    the records contain the entries of that table, as last read from memory
 *
 * A shared table is one frame with several nodes; so is a table of a recursive self-map, whose nodes are in one tree.
 *
 * Each slot has a record. In a page table with single watches it also says who watches the page, so that all that a write needs to
 * know of a slot is in one cache line:
 *
 *      LOW      low word of the entry
 *      HIGH     high word
 *      WHO      a tag that is an integer below 2^32, or an index into the space's `watchers`
 *      WHERE    bits 11:0 offset in the page, bits 13:12 what WHO is
 */
import { paOf } from '../../address/pa.ts';
import type { Pa } from '../../address/types.ts';
import { type LevelFormat, slotOf } from '../../paging/format.ts';
import type { Slab } from '../../struct/slab.ts';
import { SlotTable } from '../../struct/slot-table.ts';
import { UNTAGGED, type Watcher } from './page-watches.ts';
import type { RangeLimit } from './range-limit.ts';
import type { RangeSet } from './range-set.ts';
import type { TableFrame } from './table-frame.ts';

/** Words of a record, and the fields in it. */
export const LOW = 0;
export const HIGH = 1;
export const WHO = 2;
export const WHERE = 3;
/** Length of a record without watches, and with. */
export const ENTRY_WORDS = 2;
export const RECORD_WORDS = 4;

// Bits 13:12 of WHERE: what WHO is.
const NOBODY = 0;
const NO_TAG = 1;
export const NUMBER = 2;
const INDEX = 3;

/** Counts changes of the set of entries on watched walks, in all spaces of a monitor. */
export interface EntrySet {
  version: number;
}

/** The address space of a node: `AddressSpace`. */
export interface Space {
  readonly entrySet: EntrySet;
  readonly view: number;
  /** Physical address of the top-level table. */
  readonly root: Pa;
  readonly top: TableNode;
  readonly ranges: RangeSet;
  /** How far the ranges are expanded. */
  readonly rangeLimit: RangeLimit;
  /** The watchers that do not fit into WHO. */
  readonly watchers: Slab<Watcher>;
  /** Who watches one byte of a page singly; null where nobody does. */
  findWatcher(page: number, offset: number): Watcher | null;
  /** Whether a watch or a range includes one byte of a page. */
  isWatched(page: number, offset: number): boolean;
  /** The child below a slot, made if there is none. */
  childAt(node: TableNode, position: number): TableNode;
}

/** What will back a node once the plan is committed. */
export interface Backing {
  readonly frame: TableFrame | null;
  /** The entries, two words for each position of the node. */
  readonly words: Uint32Array;
  /** Whether the node counts in the space's `RangeLimit`. */
  readonly isCounted: boolean;
}

export interface NodeOptions {
  readonly space: Space;
  readonly format: LevelFormat;
  readonly parent: TableNode | null;
  /** First page of the span. */
  readonly firstPage: number;
  /** Slot of the frame at which the table starts: 0, except for PAE's four-entry root, of which a frame has room for 128. */
  readonly firstSlot: number;
}

/** `plainCount` of a node whose shape has changed since the fast path looked at it. */
export const SHAPE_UNKNOWN = -1;

/** The slots on some watched walk. Above the page tables, their items are the nodes below them. */
export class TableNode extends SlotTable<TableNode> {
  // What every write needs comes first, so that it is in few cache lines.
  // The fast path's notes (`fast-path/plain-tables`), which no other room reads.
  plainCount = SHAPE_UNKNOWN;
  plainBase = 0;
  plainWhere = 0;
  /** The next node of the same frame. */
  nextInFrame: TableNode | null = null;
  readonly firstSlot: number;
  readonly isPageTable: boolean;
  readonly space: Space;
  readonly firstPage: number;
  readonly format: LevelFormat;
  frame: TableFrame | null = null;
  /** Whether the node counts in the space's `RangeLimit`. */
  isCounted = false;
  readonly parent: TableNode | null;
  /** The previous node of the same frame; of the first one, the last. */
  previousInFrame: TableNode | null = null;
  /** In a page table its single watches, above it the children that have any. A node with any stays although no table backs it. */
  watchCount = 0;
  /** Set from planning to commit or rollback, on every node that the plan reads anew. */
  next: Backing | undefined = undefined;

  constructor({ space, format, parent, firstPage, firstSlot }: NodeOptions) {
    super(ENTRY_WORDS);
    this.space = space;
    this.format = format;
    this.isPageTable = format.level === 1;
    this.parent = parent;
    this.firstPage = firstPage;
    this.firstSlot = firstSlot;
  }

  /** Low word of the entry at `position`, as last read. */
  lowAt(position: number): number {
    return this.words[position * this.stride + LOW]!;
  }

  /** High word of the entry at `position`, as last read. */
  highAt(position: number): number {
    return this.words[position * this.stride + HIGH]!;
  }

  setEntry(position: number, lo: number, hi: number): void {
    const { words, stride } = this;
    words[position * stride + LOW] = lo;
    words[position * stride + HIGH] = hi;
  }

  /** Replaces all entries: two words for each position. */
  setEntries(entries: Uint32Array): void {
    const { words, stride } = this;
    if (stride === ENTRY_WORDS) return words.set(entries);
    for (let from = 0, to = 0; from < entries.length; from += ENTRY_WORDS, to += stride) {
      words[to + LOW] = entries[from + LOW]!;
      words[to + HIGH] = entries[from + HIGH]!;
    }
  }

  /** Physical address of the entry at `position` when `gfn` backs this node. */
  entryPa(gfn: number, position: number, entryBytes: number): Pa {
    return paOf(gfn, (this.firstSlot + this.slotAt(position)) * entryBytes);
  }

  /** The position of the slot that translates a page; -1 where it is absent. */
  positionOf(page: number): number {
    return this.find(slotOf(this.format, page));
  }

  /** First page of the slot at `position`. */
  pageAt(position: number): number {
    return this.firstPage + this.slotAt(position) * this.format.slotPages;
  }

  /** Pages of the span. */
  get pages(): number {
    return this.format.slots * this.format.slotPages;
  }

  /** Whether a page is in the span. */
  spans(page: number): boolean {
    return page >= this.firstPage && page < this.firstPage + this.pages;
  }

  /** The slot of a page, as if the table continued in both directions. */
  slotTowards(page: number): number {
    return Math.floor((page - this.firstPage) / this.format.slotPages);
  }

  /** The node below a slot; null in a page table, and where there is none. */
  childAt(position: number): TableNode | null {
    return this.itemAt(position);
  }

  setChild(position: number, child: TableNode | null): void {
    this.setItem(position, child);
  }

  *children(): Generator<TableNode> {
    if (this.isPageTable) return;
    for (let at = this.firstFrom(0); at >= 0; at = this.nextAfter(at)) {
      const child = this.childAt(at);
      if (child !== null) yield child;
    }
  }

  override insert(slot: number): number {
    this.space.entrySet.version++;
    this.forgetShape();
    return super.insert(slot);
  }

  override remove(position: number): void {
    this.space.entrySet.version++;
    this.forgetShape();
    super.remove(position);
  }

  /** To be called when the slots, their watchers or the other nodes of the frame change: the fast path looks again. */
  forgetShape(): void {
    this.plainCount = SHAPE_UNKNOWN;
  }

  /** See `page-watches`. */
  watcherAt(position: number): Watcher | null {
    const { words, stride } = this;
    if (stride === ENTRY_WORDS) return null;
    const who = words[position * stride + WHO]!;
    switch (whatIs(words[position * stride + WHERE]!)) {
      case NOBODY:
        return null;
      case NO_TAG:
        return UNTAGGED;
      case NUMBER:
        return who;
      default:
        return this.space.watchers.get(who);
    }
  }

  /** See `page-watches`. */
  offsetAt(position: number): number {
    return this.words[position * this.stride + WHERE]! & 0xfff;
  }

  /** See `page-watches`. */
  isInRange(position: number): boolean {
    const { ranges } = this.space;
    return !ranges.isEmpty && ranges.overlaps(this.pageAt(position), this.pageAt(position));
  }

  /** See `page-watches`. */
  setWatcher(position: number, watcher: Watcher | null, offset: number): void {
    const { watchers } = this.space;
    this.forgetShape();
    if (this.stride === ENTRY_WORDS) this.widen(RECORD_WORDS);
    const { words } = this;
    const at = position * RECORD_WORDS;
    if (whatIs(words[at + WHERE]!) === INDEX) watchers.free(words[at + WHO]!);
    const isNumber = typeof watcher === 'number' && watcher >>> 0 === watcher && !Object.is(watcher, -0);
    const what = watcher === null ? NOBODY : watcher === UNTAGGED ? NO_TAG : isNumber ? NUMBER : INDEX;
    words[at + WHO] = isNumber ? watcher : what === INDEX ? watchers.put(watcher!) : 0;
    words[at + WHERE] = (what << 12) | offset;
  }

  /** One more watch, here and, where it is the first, in the node above. */
  countWatch(): void {
    this.watchCount++;
    if (this.watchCount === 1) this.parent?.countWatch();
  }

  /** One watch less. */
  uncountWatch(): void {
    this.watchCount--;
    if (this.watchCount === 0) this.parent?.uncountWatch();
  }
}

/** What WHO is, by WHERE. */
export function whatIs(where: number): number {
  return (where >>> 12) & 3;
}
