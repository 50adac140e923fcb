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
 */
import { paOf } from '../address/pa.ts';
import type { Pa } from '../address/types.ts';
import type { LevelFormat } from '../paging/format.ts';
import { SlotList } from '../struct/slot-list.ts';
import type { AddressSpace } from './address-space.ts';
import type { TableFrame } from './protected-tables.ts';
import type { Watch } from './references.ts';

/** What is to back a node once an update is committed. */
export interface Backing {
  readonly frame: TableFrame | null;
  readonly values: Uint32Array;
}

export class TableNode {
  readonly space: AddressSpace;
  readonly format: LevelFormat;
  readonly parent: TableNode | null;
  /** First page of the span. */
  readonly firstPage: number;
  /** Slot of the frame at which the table starts: 0, but for PAE's four-entry root, of which a frame holds 128. */
  readonly firstSlot: number;

  /** The slots on some watched walk. At the same position: `values` (low, high), `children`, and `watches` in a page table. */
  readonly slots = new SlotList();
  values: Uint32Array = new Uint32Array(2 * this.slots.capacity);
  readonly children: (TableNode | null)[] = [];
  /** Null while every slot of this page table is watched by ranges only. */
  watches: (Watch | null)[] | null = null;

  /** Watches in the span, pages of ranges not counted. They keep the node where no table backs it. */
  watchCount = 0;

  frame: TableFrame | null = null;
  indexInFrame = 0;
  /** Set between the planning of an update and its end, on every node that it re-reads. */
  next: Backing | undefined = undefined;

  constructor(
    space: AddressSpace,
    format: LevelFormat,
    parent: TableNode | null,
    firstPage: number,
    firstSlot: number,
  ) {
    this.space = space;
    this.format = format;
    this.parent = parent;
    this.firstPage = firstPage;
    this.firstSlot = firstSlot;
  }

  get isPageTable(): boolean {
    return this.format.level === 1;
  }

  /** First page of the slot at `position`. */
  pageAt(position: number): number {
    return this.firstPage + this.slots.at(position) * this.format.slotPages;
  }

  /** Physical address of the entry at `position` when `gfn` backs this node. */
  entryPa(gfn: number, position: number, entryBytes: number): Pa {
    return paOf(gfn, (this.firstSlot + this.slots.at(position)) * entryBytes);
  }

  /** Holds one more slot, its value still unread. Answers its position. */
  insert(position: number, slot: number): number {
    const moved = this.slots.length - position;
    this.slots.insertAt(position, slot);
    if (this.values.length < 2 * this.slots.capacity) {
      const grown = new Uint32Array(2 * this.slots.capacity);
      grown.set(this.values);
      this.values = grown;
    }
    if (moved > 0) this.values.copyWithin(2 * position + 2, 2 * position, 2 * (position + moved));
    this.setValue(position, 0, 0);
    if (!this.isPageTable) insertNull(this.children, position, moved);
    else if (this.watches !== null) insertNull(this.watches, position, moved);
    return position;
  }

  remove(position: number): void {
    const end = 2 * this.slots.length;
    this.slots.removeAt(position);
    if (2 * position + 2 < end) this.values.copyWithin(2 * position, 2 * position + 2, end);
    if (!this.isPageTable) take(this.children, position);
    else if (this.watches !== null) take(this.watches, position);
  }

  setValue(position: number, lo: number, hi: number): void {
    this.values[2 * position] = lo;
    this.values[2 * position + 1] = hi;
  }

  watchesAt(position: number): Watch | null {
    return this.watches === null ? null : this.watches[position]!;
  }

  setWatches(position: number, watch: Watch | null): void {
    this.watches ??= Array.from({ length: this.slots.length }, () => null);
    this.watches[position] = watch;
  }
}

/** Addresses are mostly released in ascending order: to take the first of 512 away costs 20 ns this way, and 350 as a splice. */
function take(list: unknown[], position: number): void {
  if (position === 0) list.shift();
  else list.splice(position, 1);
}

function insertNull(list: unknown[], position: number, moved: number): void {
  if (moved === 0) list.push(null);
  else list.splice(position, 0, null);
}
