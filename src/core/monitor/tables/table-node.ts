/**
 * One table of a watched address space, seen from its virtual addresses.
 *
 * Nodes mirror the guest's radix tree, holding only the slots on some watched walk. A node stands for a span of virtual
 * addresses and stays while addresses in it are watched; which physical table backs that span comes and goes:
 *
 *      frame === null    no walk reaches a table here; the span is unmapped, or mapped by a large leaf above
 *      frame !== null    `values` are the entries of that table, as last read from memory
 *
 * An address of a shared table is simply one more node on the same frame; in a recursive self-map one frame backs several
 * nodes of one tree.
 *
 * A slot's record is its entry, and in a page table with single watches who watches it: all that a write needs to know of a
 * slot is in one cache line (each miss costs 30 ns among 100 k addresses, and 200 among a million).
 *
 *      word 0    low word of the entry
 *      word 1    high word
 *      word 2    who: a tag that is a whole number below 2^32, or a place in the space's `holders`
 *      word 3    bits 11:0 offset in the page, bits 13:12 what `who` is
 *
 * Most page tables are *plain*: the only node of their frame, their slots a window without a gap, their records ending alike, as
 * they do where everybody watches the first byte of a page, by a number.
 */
import { paOf } from '../../address/pa.ts';
import type { Pa } from '../../address/types.ts';
import { type LevelFormat, slotOf } from '../../paging/format.ts';
import { SlotTable } from '../../struct/slot-table.ts';
import type { AddressSpace } from './address-space.ts';
import { type Holder, UNTAGGED } from './page-watches.ts';
import type { TableFrame } from './protected-tables.ts';

const ENTRY_WORDS = 2;
/** Words of a record, of a page table with single watches. */
export const RECORD_WORDS = 4;

// What `who` is.
const NOBODY = 0;
const NO_TAG = 1;
const NUMBER = 2;
const KEPT = 3;

/** No record ends so. */
const NO_END = -1;

/** What is to back a node once an update is committed. */
export interface Backing {
  readonly frame: TableFrame | null;
  /** The entries, two words for each position of the node. */
  readonly words: Uint32Array;
}

/** The slots on some watched walk. Above the page tables, their items are the nodes below them. */
export class TableNode extends SlotTable<TableNode> {
  // What every write asks comes first, that it be in few cache lines.
  /** The node that follows among those of the frame. */
  nextInFrame: TableNode | null = null;
  /** Slot of the frame at which the table starts: 0, but for PAE's four-entry root, of which a frame holds 128. */
  readonly firstSlot: number;
  readonly isPageTable: boolean;
  readonly space: AddressSpace;
  /** First page of the span. */
  readonly firstPage: number;
  readonly format: LevelFormat;
  frame: TableFrame | null = null;
  readonly parent: TableNode | null;
  /** The node before it; of the first one, the last. */
  previousInFrame: TableNode | null = null;
  // How records of watched pages end: in this word, so many of them.
  #usualEnd = NO_END;
  #usualEnds = 0;
  /** Watched addresses of a page table, pages of ranges not counted; above, children that have any. They keep a node where no table backs it. */
  watchCount = 0;
  /** Set between the planning of an update and its end, on every node that it re-reads. */
  next: Backing | undefined = undefined;

  constructor(
    space: AddressSpace,
    format: LevelFormat,
    parent: TableNode | null,
    firstPage: number,
    firstSlot: number,
  ) {
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
    return this.words[position * this.stride]!;
  }

  /** High word of the entry at `position`, as last read. */
  highAt(position: number): number {
    return this.words[position * this.stride + 1]!;
  }

  /** The position of the slot that translates a page; -1 when it is not held. */
  positionOf(page: number): number {
    return this.find(slotOf(this.format, page));
  }

  /** Whether a page is in the span. */
  spans(page: number): boolean {
    return page >= this.firstPage && page < this.firstPage + this.format.slots * this.format.slotPages;
  }

  /** The slot of a page, if the table went on in both directions. */
  slotTowards(page: number): number {
    return Math.floor((page - this.firstPage) / this.format.slotPages);
  }

  /** First page of the slot at `position`. */
  pageAt(position: number): number {
    return this.firstPage + this.slotAt(position) * this.format.slotPages;
  }

  /** Physical address of the entry at `position` when `gfn` backs this node. */
  entryPa(gfn: number, position: number, entryBytes: number): Pa {
    return paOf(gfn, (this.firstSlot + this.slotAt(position)) * entryBytes);
  }

  /**
   * A write to the entry of a slot is announced, where this is plain and the slot is held: the processor is to fetch its record,
   * which is long in coming, while the guest's write is. A store does not wait, as a load would: 90 ns of a flip in a batch, among a
   * million addresses. What is stored is what is there. Answers whether it was so.
   */
  announce(slot: number): boolean {
    const position = this.findPlain(slot);
    if (position < 0) return false;
    this.words[position * RECORD_WORDS + 3] = this.plainEnd;
    return true;
  }

  /** To be called when what makes a node plain may have changed: its slots, who watches them, what else is on the frame. */
  comparePlain(): void {
    const isPlain =
      this.isPageTable && this.isGapless && this.#usualEnds === this.slotCount && this.nextInFrame === null;
    this.plainCount = isPlain ? this.slotCount : 0;
    this.plainEnd = this.#usualEnd;
  }

  override insert(slot: number): number {
    const position = super.insert(slot);
    this.comparePlain();
    return position;
  }

  override remove(position: number): void {
    super.remove(position);
    this.comparePlain();
  }

  setEntry(position: number, lo: number, hi: number): void {
    const { words, stride } = this;
    words[position * stride] = lo;
    words[position * stride + 1] = hi;
  }

  /** All entries anew, two words for each position. */
  setEntries(entries: Uint32Array): void {
    const { words, stride } = this;
    if (stride === ENTRY_WORDS) return words.set(entries);
    for (let from = 0, to = 0; from < entries.length; from += ENTRY_WORDS, to += stride) {
      words[to] = entries[from]!;
      words[to + 1] = entries[from + 1]!;
    }
  }

  /** The node below a slot; null in a page table, and where there is none. */
  childAt(position: number): TableNode | null {
    return this.itemAt(position);
  }

  setChild(position: number, child: TableNode | null): void {
    this.setItem(position, child);
  }

  forEachChild(visit: (child: TableNode) => void): void {
    if (this.isPageTable) return;
    for (let at = this.firstFrom(0); at >= 0; at = this.nextAfter(at)) {
      const child = this.childAt(at);
      if (child !== null) visit(child);
    }
  }

  /** Who watches a page of this page table singly (`page-watches`); null where nobody does. */
  watchedAt(position: number): Holder | null {
    const { words, stride } = this;
    if (stride === ENTRY_WORDS) return null;
    const who = words[position * stride + 2]!;
    switch (whatIs(words[position * stride + 3]!)) {
      case NOBODY:
        return null;
      case NO_TAG:
        return UNTAGGED;
      case NUMBER:
        return who;
      default:
        return this.space.holders.get(who);
    }
  }

  /** Where in its page the watch at `position` is, if there is one and it is no chain. */
  offsetAt(position: number): number {
    return this.words[position * this.stride + 3]! & 0xfff;
  }

  setWatched(position: number, holder: Holder | null, offset: number): void {
    const { holders } = this.space;
    if (this.stride === ENTRY_WORDS) this.widen(RECORD_WORDS);
    const { words } = this;
    const at = position * RECORD_WORDS + 2;
    if (whatIs(words[at + 1]!) === KEPT) holders.free(words[at]!);
    const isNumber = typeof holder === 'number' && holder >>> 0 === holder && !Object.is(holder, -0);
    const what = holder === null ? NOBODY : holder === UNTAGGED ? NO_TAG : isNumber ? NUMBER : KEPT;
    words[at] = isNumber ? holder : what === KEPT ? holders.put(holder!) : 0;
    this.#setEnd(at + 1, (what << 12) | offset);
  }

  #setEnd(at: number, end: number): void {
    const { words } = this;
    if (this.#usualEnd === words[at]) this.#usualEnds--;
    if (this.#usualEnds === 0) this.#usualEnd = whatIs(end) === NOBODY ? NO_END : end;
    if (end === this.#usualEnd) this.#usualEnds++;
    words[at] = end;
    this.comparePlain();
  }

  /** One watch more, here and, where it is the first, in what is above. */
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

/** What `who` is, by the last word of a record. */
function whatIs(where: number): number {
  return (where >>> 12) & 3;
}
