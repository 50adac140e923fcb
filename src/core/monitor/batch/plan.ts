/**
 * One step of the mirror towards memory, in two halves (rule C9).
 *
 * Planning reads entries and protects tables, and may fail at any read or protection; `abort` then leaves everything as it
 * was. Committing reads nothing and cannot fail. What is planned waits in `next` of the nodes that it re-reads, so that until
 * the end of the commit the tree holds both what was and what will be.
 */
import { frameOffsetOf, gfnOf, paOf } from '../../address/pa.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_NOT_FETCHED, READ_OK } from '../../memory/physical-memory.ts';
import {
  ENTRY_LEAF,
  ENTRY_TABLE,
  kindOf,
  leafGfn,
  type LevelFormat,
  type Paging,
  slotOf,
  tableGfn,
} from '../../paging/format.ts';
import { restrictLeaf, RIGHTS_ALL } from '../../paging/rights.ts';
import type { NumberList } from '../../struct/number-list.ts';
import type { AddressSpace, UnreadSlot } from '../tables/address-space.ts';
import type { FormerWalks } from './former-walks.ts';
import type { ProtectedTables, TableFrame } from '../tables/protected-tables.ts';
import type { Report } from '../events/report.ts';
import type { Backing, TableNode } from '../tables/table-node.ts';
import type { Touched } from '../tables/touched-pages.ts';
import { ChangeList } from './change-list.ts';

const NO_TABLE = -1;
const NOTHING: Backing = { frame: null, words: new Uint32Array(0) };

export class Update {
  readonly #memory: PhysicalMemory;
  readonly #paging: Paging;
  readonly #entryShift: number;
  readonly #tables: ProtectedTables;
  /** Whether a change of rights alone is a change. */
  #rightsMatter = true;
  /** Where a watch begins with this update: its view must be there. Walks that are watched already outlive theirs (rule C2). */
  #beginning: AddressSpace | null = null;

  /** Marked entries above the page tables. */
  readonly #above: { readonly node: TableNode; readonly position: number }[] = [];
  readonly #changes = new ChangeList();
  readonly #staged: TableNode[] = [];
  /** Entries that could not be read yet. An update that misses any must not be committed. */
  readonly missing: number[] = [];
  readonly #entry = new Uint32Array(2);

  constructor(memory: PhysicalMemory, paging: Paging, tables: ProtectedTables) {
    this.#memory = memory;
    this.#paging = paging;
    this.#entryShift = Math.log2(paging.mode.entryBytes);
    this.#tables = tables;
  }

  /**
   * Plans what these entries (physical addresses, ascending) say now: from the top of the tree down, so that a table that
   * goes takes all below it along.
   *
   * @param rightsMatter whether anybody will hear of, or remember, rights that changed alone
   * @param beginning where a watch begins with this update
   */
  planEntries(entries: NumberList, rightsMatter: boolean, beginning: AddressSpace | null = null): void {
    this.#rightsMatter = rightsMatter;
    this.#beginning = beginning;
    for (let index = 0; index < entries.length; index++) this.#noteTableEntries(entries.at(index));
    if (this.#above.length > 0) {
      this.#above.sort((a, b) => b.node.format.level - a.node.format.level);
      for (const { node, position } of this.#above) this.#planTableEntry(node, position);
    }
    for (let index = 0; index < entries.length; index++) this.#planPageTableEntry(entries.at(index));
  }

  /** Plans to back a node by the table in a frame, or by none: reads what it holds, and everything below. */
  stage(node: TableNode, gfn: number): void {
    if (node.next !== undefined) return;
    if (gfn === NO_TABLE && node.frame === null) return;
    const { entryBytes } = this.#paging.mode;
    // The table may lie outside RAM, where there is nothing to protect (rule T8).
    if (gfn === NO_TABLE || !this.#read(node.entryPa(gfn, 0, entryBytes))) return this.#stageNothing(node);

    // Staged as nothing until it is protected, so that a failure undoes the node as well.
    node.next = NOTHING;
    this.#staged.push(node);
    // Protected first, read afterwards: a write in between is one more mark, not a loss (rule C3).
    const frame = this.#tables.acquire(gfn, node.space.view, node.space !== this.#beginning);
    const words = new Uint32Array(2 * node.capacity);
    node.next = { frame, words };
    for (let position = node.firstFrom(0); position >= 0; position = node.nextAfter(position)) {
      this.#read(node.entryPa(gfn, position, entryBytes));
      words[2 * position] = this.#entry[0]!;
      words[2 * position + 1] = this.#entry[1]!;
      if (!node.isPageTable) this.#stageBelow(node, position, this.#entry[0]!, this.#entry[1]!);
    }
  }

  /** Plans the value of a slot that nothing has read yet, and what hangs below it. */
  planNewSlot({ node, slot }: UnreadSlot): void {
    if (node.frame === null || node.next !== undefined) return;
    const position = node.find(slot);
    this.#read(node.entryPa(node.frame.gfn, position, this.#paging.mode.entryBytes));
    const [lo, hi] = [this.#entry[0]!, this.#entry[1]!];
    this.#changes.add(node, position, lo, hi, false);
    if (!node.isPageTable) this.#stageBelow(node, position, lo, hi);
  }

  /** Holds the slot of a page in a table that is read already, entry and all. Answers its position; -1 where it cannot be read. */
  readInPlace(node: TableNode, page: number): number {
    const { entryBytes } = this.#paging.mode;
    const slot = slotOf(node.format, page);
    const entryPa = paOf(node.frame!.gfn, (node.firstSlot + slot) * entryBytes);
    if (this.#memory.readEntry(entryPa, entryBytes, this.#entry) !== READ_OK) return -1;
    const position = node.insert(slot);
    node.setEntry(position, this.#entry[0]!, this.#entry[1]!);
    return position;
  }

  /** Adds the pages below these entries, by the walks that are known. */
  addTouched(entries: NumberList, touched: Touched): void {
    for (let index = 0; index < entries.length; index++) {
      const entryPa = entries.at(index);
      for (let node = this.#firstNodeAt(entryPa); node !== null; node = node.nextInFrame) {
        const position = this.#positionOf(node, entryPa);
        if (position >= 0) touched.add(node.space, node.pageAt(position), node.format.slotPages);
      }
    }
  }

  /** The entries of a node that differ from memory are added to `into`. */
  compare(node: TableNode, into: NumberList): void {
    const { entryBytes } = this.#paging.mode;
    const gfn = node.frame!.gfn;
    for (let position = node.firstFrom(0); position >= 0; position = node.nextAfter(position)) {
      const entryPa = node.entryPa(gfn, position, entryBytes);
      this.#read(entryPa);
      const [lo, hi] = [this.#entry[0]!, this.#entry[1]!];
      const same = lo === node.lowAt(position) && hi === node.highAt(position);
      if (!same || (!node.isPageTable && this.#becomesReadable(node, position, lo, hi))) into.push(entryPa);
    }
  }

  /** Whether the entries that lead to what is planned still do, where the guest runs while it is read (rule E2). */
  holds(): boolean {
    if (this.#memory.stillHolds === undefined) return true;
    const above = new Set<number>();
    for (let index = 0; index < this.#changes.length; index++) this.#addAbove(this.#changes.at(index).node, above);
    for (const node of this.#staged) this.#addAbove(node, above);
    return above.size === 0 || this.#memory.stillHolds(above, this.#paging.mode.entryBytes);
  }

  /** Adds the entries that lead to a node. */
  #addAbove(node: TableNode, above: Set<number>): void {
    const { entryBytes } = this.#paging.mode;
    for (let below = node, parent = node.parent; parent !== null; below = parent, parent = below.parent) {
      const { frame } = parent.next ?? parent;
      if (frame === null) continue;
      const slot = (below.firstPage - parent.firstPage) / parent.format.slotPages;
      const entryPa = paOf(frame.gfn, (parent.firstSlot + slot) * entryBytes);
      if (above.has(entryPa)) return;
      above.add(entryPa);
    }
  }

  /** Keeps the walks that the plan is about to lead elsewhere, but for those of pages that are spoken of now. */
  rememberWalks(former: FormerWalks, touched: Touched): void {
    for (const node of this.#staged) {
      const { space, firstPage, format } = node;
      if (node.next!.frame === node.frame) continue;
      if (!touched.hasSpan(space, firstPage, format.slots * format.slotPages)) former.add(node);
    }
  }

  /** Makes the plan true, and says to `report` what it means; without one it means nothing to anybody yet. */
  commit(report: Report | null): void {
    for (let index = 0; index < this.#changes.length; index++) {
      const { node, position, lo, hi, matters } = this.#changes.at(index);
      if (matters) report?.entryChanges(node, position, lo, hi);
      node.setEntry(position, lo, hi);
    }
    const left: [TableFrame, number][] = [];
    for (const node of this.#staged) {
      const { frame, words } = node.next!;
      if (node.frame !== null) {
        this.#tables.nodes.detach(node);
        left.push([node.frame, node.space.view]);
      }
      node.frame = frame;
      if (frame !== null) {
        node.setEntries(words);
        this.#tables.nodes.attach(node);
      }
    }
    this.#finish();
    for (const [frame, view] of left) this.#tables.release(frame, view);
  }

  /** Forgets the plan: nothing has happened. */
  abort(): void {
    const taken = this.#staged.filter((node) => node.next!.frame !== null);
    const frames = taken.map((node): [TableFrame, number] => [node.next!.frame!, node.space.view]);
    this.#finish();
    for (const [frame, view] of frames) this.#tables.release(frame, view);
  }

  #finish(): void {
    for (const node of this.#staged) {
      node.next = undefined;
      // Ranges need no node where no table is.
      if (node.frame === null && node.watchCount === 0 && node.parent !== null) dropChild(node.parent, node);
    }
    this.#beginning = null;
    empty(this.#above);
    this.#changes.clear();
    empty(this.#staged);
    empty(this.missing);
  }

  #stageNothing(node: TableNode): void {
    node.next = NOTHING;
    this.#staged.push(node);
    node.forEachChild((child) => this.stage(child, NO_TABLE));
  }

  #stageBelow(node: TableNode, position: number, lo: number, hi: number): void {
    if (kindOf(node.format, lo, hi) === ENTRY_TABLE) {
      const child = node.space.childAt(node, position, this.#paging);
      this.stage(child, tableGfn(node.format, lo, hi));
    } else {
      const child = node.childAt(position);
      if (child !== null) this.stage(child, NO_TABLE);
    }
  }

  /** Entries above the page tables are sorted before they are planned. */
  #noteTableEntries(entryPa: number): void {
    for (let node = this.#firstNodeAt(entryPa); node !== null; node = node.nextInFrame) {
      if (node.isPageTable) continue;
      const position = this.#positionOf(node, entryPa);
      if (position >= 0) this.#above.push({ node, position });
    }
  }

  #planTableEntry(node: TableNode, position: number): void {
    // Re-read already: an entry above it changed.
    if (node.next !== undefined) return;
    this.#read(node.entryPa(node.frame!.gfn, position, this.#paging.mode.entryBytes));
    const [lo, hi] = [this.#entry[0]!, this.#entry[1]!];
    const oldLo = node.lowAt(position);
    const oldHi = node.highAt(position);
    const readable = this.#becomesReadable(node, position, lo, hi);
    if (lo === oldLo && hi === oldHi && !readable) return;
    const matters = readable || !this.#meansTheSame(node.format, oldLo, oldHi, lo, hi);
    this.#changes.add(node, position, lo, hi, matters);
    if (matters) this.#stageBelow(node, position, lo, hi);
  }

  #planPageTableEntry(entryPa: number): void {
    let unread = true;
    for (let node = this.#firstNodeAt(entryPa); node !== null; node = node.nextInFrame) {
      if (!node.isPageTable || node.next !== undefined) continue;
      const position = this.#positionOf(node, entryPa);
      if (position < 0) continue;
      if (unread) this.#read(entryPa);
      unread = false;
      const [lo, hi] = [this.#entry[0]!, this.#entry[1]!];
      const oldLo = node.lowAt(position);
      const oldHi = node.highAt(position);
      if (lo === oldLo && hi === oldHi) continue;
      this.#changes.add(node, position, lo, hi, !this.#meansTheSame(node.format, oldLo, oldHi, lo, hi));
    }
  }

  /** Whether an entry points at a table that was not in memory when it was last looked at, and is now. */
  #becomesReadable(node: TableNode, position: number, lo: number, hi: number): boolean {
    const child = node.childAt(position);
    if (kindOf(node.format, lo, hi) !== ENTRY_TABLE || (child !== null && child.frame !== null)) return false;
    return this.#read(paOf(tableGfn(node.format, lo, hi)));
  }

  #meansTheSame(format: LevelFormat, oldLo: number, oldHi: number, lo: number, hi: number): boolean {
    const kind = kindOf(format, oldLo, oldHi);
    if (kind !== kindOf(format, lo, hi)) return false;
    if (kind === ENTRY_TABLE && tableGfn(format, oldLo, oldHi) !== tableGfn(format, lo, hi)) return false;
    if (kind === ENTRY_LEAF && leafGfn(format, oldLo, oldHi) !== leafGfn(format, lo, hi)) return false;
    if (!this.#rightsMatter) return true;
    return restrictLeaf(RIGHTS_ALL, format, oldLo, oldHi) === restrictLeaf(RIGHTS_ALL, format, lo, hi);
  }

  #firstNodeAt(entryPa: number): TableNode | null {
    return this.#tables.nodes.firstIn(gfnOf(entryPa));
  }

  #positionOf(node: TableNode, entryPa: number): number {
    return node.find((frameOffsetOf(entryPa) >>> this.#entryShift) - node.firstSlot);
  }

  /** Reads an entry; one that cannot be read is taken for 0, which does not translate. Answers whether it is in memory. */
  #read(entryPa: number): boolean {
    const outcome = this.#memory.readEntry(entryPa, this.#paging.mode.entryBytes, this.#entry);
    if (outcome === READ_OK) return true;
    if (outcome === READ_NOT_FETCHED) this.missing.push(entryPa);
    else if (outcome !== READ_NO_MEMORY) throw new Error(`a memory answered ${String(outcome)} to a read`);
    this.#entry[0] = 0;
    this.#entry[1] = 0;
    return false;
  }
}

/** Setting a length costs 15 ns even where there is nothing to drop, and most updates stage nothing. */
function empty(list: unknown[]): void {
  if (list.length > 0) list.length = 0;
}

function dropChild(parent: TableNode, child: TableNode): void {
  const position = parent.positionOf(child.firstPage);
  if (position >= 0 && parent.childAt(position) === child) parent.setChild(position, null);
}
