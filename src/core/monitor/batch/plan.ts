/**
 * A plan brings nodes up to date with memory: it is made first, and then committed or rolled back (rule C9).
 *
 * Planning reads entries and protects tables, and may fail at any read or protection: `rollBack` then leaves everything as it was.
 * Committing reads nothing and cannot fail. The new values of single entries wait in `#changes`; a table that is read as a whole
 * waits in `next` of its node. So until the commit ends, the tree has the old tables and the new ones.
 */
import { frameOffsetOf, gfnOf, paOf } from '../../address/pa.ts';
import { hex, vaOf } from '../../address/va.ts';
import { PtmonError } from '../../error.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_NOT_FETCHED, READ_OK } from '../../memory/physical-memory.ts';
import { ENTRY_TABLE, kindOf, type Paging, tableGfn, targetOf, unfoldVpn } from '../../paging/format.ts';
import { restrictLeaf, RIGHTS_ALL } from '../../paging/rights.ts';
import type { NumberList } from '../../struct/number-list.ts';
import type { TouchedPages } from '../reporting/touched-pages.ts';
import type { AddressSpace, UnreadSlot } from '../tables/address-space.ts';
import type { Faults } from '../tables/faults.ts';
import { NO_TABLE } from '../tables/mapping.ts';
import type { ProtectedTables } from '../tables/protected-tables.ts';
import type { ReverseMap } from '../tables/rmap.ts';
import type { TableFrame } from '../tables/table-frame.ts';
import { type Backing, ENTRY_WORDS, type Space, type TableNode } from '../tables/table-node.ts';
import { ChangeList } from './change-list.ts';
import type { DirtyMarks } from './dirty-marks.ts';
import { isStepDone, type Stepwise } from '../steps.ts';

const NOTHING: Backing = { frame: null, words: new Uint32Array(0), isCounted: false };

/** Called right before each change is made: `Report`. */
export interface ChangeListener {
  /** Of an entry of a page table. */
  entryChanges(node: TableNode, position: number, lo: number, hi: number): void;
  /** Of any other entry. */
  entryAboveChanges(node: TableNode, position: number, lo: number, hi: number): Stepwise<void>;
}

export interface PlanParts {
  readonly memory: PhysicalMemory;
  readonly paging: Paging;
  readonly tables: ProtectedTables;
  readonly rmap: ReverseMap;
  readonly faults: Faults;
  readonly marks: DirtyMarks;
}

export class Plan {
  readonly #memory: PhysicalMemory;
  readonly #paging: Paging;
  readonly #entryBytes: 4 | 8;
  readonly #entryShift: number;
  readonly #tables: ProtectedTables;
  readonly #rmap: ReverseMap;
  readonly #faults: Faults;
  readonly #marks: DirtyMarks;
  /** Whether a change of rights alone is a change. */
  #rightsMatter = true;
  /** Where a watch begins with this plan: its view must exist. A walk that is watched may outlive its view (rule C2). */
  #beginning: AddressSpace | null = null;

  /** Marked entries above the page tables. */
  readonly #above: { readonly node: TableNode; readonly position: number }[] = [];
  readonly #changes = new ChangeList();
  readonly #staged: TableNode[] = [];
  /** Entries that are not followed because of the range limit: the first of each space. */
  readonly #cut = new Map<Space, { readonly node: TableNode; readonly position: number }>();
  /** Entries that could not be read yet. A plan that misses any must not be committed. */
  readonly missing: number[] = [];
  /** Low and high word of the entry that was read last. */
  readonly #entry = new Uint32Array(2);

  constructor({ memory, paging, tables, rmap, faults, marks }: PlanParts) {
    this.#marks = marks;
    this.#memory = memory;
    this.#paging = paging;
    this.#faults = faults;
    this.#entryBytes = paging.mode.entryBytes;
    this.#entryShift = Math.log2(paging.mode.entryBytes);
    this.#tables = tables;
    this.#rmap = rmap;
  }

  /**
   * Plans what these entries (physical addresses, ascending) say now, from the top of the tree down: where an entry leads to another
   * table, that table is read as a whole, and the marked entries below it are not planned again.
   *
   * @param rightsMatter whether rights that changed alone are reported or remembered
   * @param beginning where a watch begins with this plan
   */
  *addEntries(entries: NumberList, rightsMatter: boolean, beginning: AddressSpace | null = null): Stepwise<void> {
    this.#rightsMatter = rightsMatter;
    this.#beginning = beginning;
    for (let index = 0; index < entries.length; index++) {
      this.#findEntriesAbove(entries.at(index));
      if (isStepDone(index)) yield true;
    }
    if (this.#above.length > 0) {
      this.#above.sort((a, b) => b.node.format.level - a.node.format.level);
      for (const { node, position } of this.#above) yield* this.#planEntryAbove(node, position);
    }
    for (let index = 0; index < entries.length; index++) {
      this.#planPageTableEntry(entries.at(index));
      if (isStepDone(index)) yield true;
    }
  }

  /** Plans which table will be behind a node: the one in `gfn`, or none (`NO_TABLE`). Reads its entries, and everything below. */
  *stage(node: TableNode, gfn: number): Stepwise<void> {
    if (node.next !== undefined) return;
    if (gfn === NO_TABLE && node.frame === null) return;
    // Listed before anything that may throw: `rollBack` then takes `next` off this node, and drops one that was made for this plan.
    node.next = NOTHING;
    this.#staged.push(node);
    // This first read only asks whether the table is in RAM: outside, there is nothing to protect (rule T8). The values that count are read
    // after `acquire`.
    if (gfn === NO_TABLE || !this.#read(node.entryPa(gfn, 0, this.#entryBytes))) {
      for (const child of node.children()) yield* this.stage(child, NO_TABLE);
      yield true;
      return;
    }

    // Protect first, read afterwards: a write in between becomes a mark and is not lost (rule C3).
    const { view } = node.space;
    const viewMayBeGone = node.space !== this.#beginning;
    const frame = this.#tables.acquire(gfn, { view, viewMayBeGone, level: node.format.level });
    const words = new Uint32Array(ENTRY_WORDS * node.capacity);
    const isCounted = !node.space.ranges.isEmpty;
    if (isCounted) node.space.rangeLimit.add(gfn, node.format);
    node.next = { frame, words, isCounted };
    for (let position = node.firstFrom(0); position >= 0; position = node.nextAfter(position)) {
      this.#read(node.entryPa(gfn, position, this.#entryBytes));
      words.set(this.#entry, ENTRY_WORDS * position);
      if (!node.isPageTable) yield* this.#stageBelow(node, position, this.#entry[0]!, this.#entry[1]!);
    }
    yield true;
  }

  /** Plans the value of a slot that nothing has read yet, and everything below it. */
  *addSlot({ node, slot }: UnreadSlot): Stepwise<void> {
    if (node.frame === null || node.next !== undefined) return;
    const position = node.find(slot);
    this.#read(node.entryPa(node.frame.gfn, position, this.#entryBytes));
    const [lo, hi] = [this.#entry[0]!, this.#entry[1]!];
    this.#changes.add(node, position, this.#entry, false);
    if (!node.isPageTable) yield* this.#stageBelow(node, position, lo, hi);
  }

  /** Adds the pages below these entries, as the nodes know them, to `touched`. */
  addTouched(entries: NumberList, touched: TouchedPages): void {
    for (let index = 0; index < entries.length; index++) {
      const entryPa = entries.at(index);
      for (let node = this.#firstNodeAt(entryPa); node !== null; node = node.nextInFrame) {
        const position = this.#positionOf(node, entryPa);
        if (position >= 0) touched.add(node.space, node.pageAt(position), node.format.slotPages);
      }
    }
  }

  /** Adds the entries on the walk of a page, as the nodes know it, that are in flight to `into`. */
  addMarkedOnWalk(space: Space, page: number, into: NumberList): void {
    let node: TableNode | null = space.top;
    while (node !== null && node.frame !== null) {
      const position: number = node.positionOf(page);
      if (position < 0) return;
      const entryPa = node.entryPa(node.frame.gfn, position, this.#entryBytes);
      if (this.#marks.has(entryPa)) into.push(entryPa);
      node = node.childAt(position);
    }
  }

  /** Adds the entries of a node that differ from memory to `into`. */
  compare(node: TableNode, into: NumberList): void {
    const gfn = node.frame!.gfn;
    for (let position = node.firstFrom(0); position >= 0; position = node.nextAfter(position)) {
      const entryPa = node.entryPa(gfn, position, this.#entryBytes);
      this.#read(entryPa);
      const [lo, hi] = [this.#entry[0]!, this.#entry[1]!];
      const same = lo === node.lowAt(position) && hi === node.highAt(position);
      if (!same || (!node.isPageTable && this.#becomesReadable(node, position, lo, hi))) into.push(entryPa);
    }
  }

  /** Whether the entries that lead to what is planned are still the same, where the guest runs while it is read (rule E2). */
  isValid(): boolean {
    if (this.#memory.stillHolds === undefined) return true;
    const above = new Set<number>();
    const seen = new Set<TableNode>();
    for (let index = 0; index < this.#changes.length; index++)
      this.#addEntriesOnWalk(this.#changes.at(index).node, above, seen);
    for (const node of this.#staged) this.#addEntriesOnWalk(node, above, seen);
    return above.size === 0 || this.#memory.stillHolds(above, this.#entryBytes);
  }

  /** Adds the entries that lead to a node. Stops at a node that was seen before: the entries that lead to it are added already. */
  #addEntriesOnWalk(node: TableNode, above: Set<number>, seen: Set<TableNode>): void {
    for (let below = node, parent = node.parent; parent !== null; below = parent, parent = below.parent) {
      if (seen.has(below)) return;
      seen.add(below);
      const { frame } = parent.next ?? parent;
      if (frame === null) continue;
      const slot = (below.firstPage - parent.firstPage) / parent.format.slotPages;
      above.add(paOf(frame.gfn, (parent.firstSlot + slot) * this.#entryBytes));
    }
  }

  /** The nodes that the plan is about to put on another frame, or on none, except those whose pages are all reported now. */
  *movingNodes(touched: TouchedPages): Generator<TableNode> {
    for (const node of this.#staged) {
      if (node.next!.frame === node.frame) continue;
      if (!touched.hasSpan(node.space, node.firstPage, node.pages)) yield node;
    }
  }

  /** Carries the plan out, and tells the listener of every change that matters. */
  *commit(listener: ChangeListener | null): Stepwise<void> {
    for (let index = 0; index < this.#changes.length; index++) {
      const { node, position, lo, hi, matters } = this.#changes.at(index);
      if (matters && listener !== null) {
        if (node.isPageTable) listener.entryChanges(node, position, lo, hi);
        else yield* listener.entryAboveChanges(node, position, lo, hi);
      }
      node.setEntry(position, lo, hi);
      if (isStepDone(index)) yield false;
    }
    const left: [TableFrame, number][] = [];
    for (const node of this.#staged) {
      const { frame, words, isCounted } = node.next!;
      if (node.frame !== null) {
        this.#rmap.detach(node);
        left.push([node.frame, node.space.view]);
      }
      if (node.isCounted) node.space.rangeLimit.remove(node.frame!.gfn, node.format);
      node.frame = frame;
      node.isCounted = isCounted;
      if (frame !== null) {
        node.setEntries(words);
        if (this.#rmap.firstIn(frame.gfn) === null) this.#marks.adopt(frame.gfn, this.#entryBytes);
        this.#rmap.attach(node);
      }
    }
    for (const [space, { node, position }] of this.#cut) {
      if (!space.rangeLimit.isCut) this.#faults.add(this.#limitFault(node, position));
      space.rangeLimit.isCut = true;
    }
    this.#reset();
    yield* this.#release(left);
  }

  /** Drops the plan, and the nodes that only this plan made: everything is as it was before. */
  *rollBack(): Stepwise<void> {
    const taken = this.#staged.filter((node) => node.next!.frame !== null);
    const frames = taken.map((node): [TableFrame, number] => [node.next!.frame!, node.space.view]);
    for (const { space, format, next } of taken) {
      if (next!.isCounted) space.rangeLimit.remove(next!.frame!.gfn, format);
    }
    this.#reset();
    yield* this.#release(frames);
  }

  /** A table in a step. */
  *#release(frames: readonly [TableFrame, number][]): Stepwise<void> {
    for (const [frame, view] of frames) {
      this.#tables.release(frame, view);
      yield false;
    }
  }

  #reset(): void {
    for (const node of this.#staged) {
      node.next = undefined;
      // Drops a node without a table, unless it has single watches: a range needs no node there.
      if (node.frame === null && node.watchCount === 0 && node.parent !== null) dropChild(node.parent, node);
    }
    this.#beginning = null;
    empty(this.#above);
    this.#changes.clear();
    empty(this.#staged);
    if (this.#cut.size > 0) this.#cut.clear();
    empty(this.missing);
  }

  /** Names the entry that is not followed, and the range whose pages are below it. */
  #limitFault(node: TableNode, position: number): PtmonError {
    const { view, root, ranges } = node.space;
    const first = node.pageAt(position);
    const [segment] = ranges.overlapping(first, first + node.format.slotPages - 1);
    const vaOfPage = (page: number) => vaOf(unfoldVpn(this.#paging, page), 0);
    const va = vaOfPage(Math.max(first, segment?.first ?? first));
    const entryPa = node.entryPa((node.next ?? node).frame!.gfn, position, this.#entryBytes);
    const range =
      segment === undefined ? '' : ` from ${hex(vaOfPage(segment.first))} to ${hex(vaOfPage(segment.last))}`;
    const what = `the range${range} of root ${hex(root)} in view ${view} reaches more page tables than maxRangePages allows`;
    const where = `the entry at ${hex(entryPa)} (level ${node.format.level}, for ${hex(va)}) and others are not followed`;
    return new PtmonError('range-limit', `${what}: ${where}`, { va, root, view, level: node.format.level, entryPa });
  }

  *#stageBelow(node: TableNode, position: number, lo: number, hi: number): Stepwise<void> {
    const child = node.childAt(position);
    if (kindOf(node.format, lo, hi) === ENTRY_TABLE) {
      const gfn = tableGfn(node.format, lo, hi);
      if (this.#mayFollow(node, child, gfn)) return yield* this.stage(node.space.childAt(node, position), gfn);
      if (!this.#cut.has(node.space)) this.#cut.set(node.space, { node, position });
    }
    if (child !== null) yield* this.stage(child, NO_TABLE);
  }

  /** Whether a table may back the node below an entry: always for single watches, within a limit for ranges (rule C8). */
  #mayFollow(node: TableNode, child: TableNode | null, gfn: number): boolean {
    if (child !== null && (child.watchCount > 0 || (child.next ?? child).frame?.gfn === gfn)) return true;
    return node.space.rangeLimit.admits(gfn, this.#paging.byLevel[node.format.level - 1]!, child?.isCounted === true);
  }

  /** Entries above the page tables are sorted before they are planned. */
  #findEntriesAbove(entryPa: number): void {
    for (let node = this.#firstNodeAt(entryPa); node !== null; node = node.nextInFrame) {
      if (node.isPageTable) continue;
      const position = this.#positionOf(node, entryPa);
      if (position >= 0) this.#above.push({ node, position });
    }
  }

  *#planEntryAbove(node: TableNode, position: number): Stepwise<void> {
    // An entry above this table has changed, and the table is staged: all of its entries are read already.
    if (node.next !== undefined) return;
    this.#read(node.entryPa(node.frame!.gfn, position, this.#entryBytes));
    const [lo, hi] = [this.#entry[0]!, this.#entry[1]!];
    const isReadable = this.#becomesReadable(node, position, lo, hi);
    if (lo === node.lowAt(position) && hi === node.highAt(position) && !isReadable) return;
    const matters = isReadable || !this.#meansTheSame(node, position, lo, hi);
    // `#becomesReadable` may have read another entry.
    this.#entry[0] = lo;
    this.#entry[1] = hi;
    this.#changes.add(node, position, this.#entry, matters);
    if (matters) yield* this.#stageBelow(node, position, lo, hi);
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
      if (lo === node.lowAt(position) && hi === node.highAt(position)) continue;
      this.#changes.add(node, position, this.#entry, !this.#meansTheSame(node, position, lo, hi));
    }
  }

  /** Whether an entry points at a table that was not in memory when it was last looked at, and is now. */
  #becomesReadable(node: TableNode, position: number, lo: number, hi: number): boolean {
    const child = node.childAt(position);
    if (kindOf(node.format, lo, hi) !== ENTRY_TABLE || (child !== null && child.frame !== null)) return false;
    const gfn = tableGfn(node.format, lo, hi);
    return this.#mayFollow(node, child, gfn) && this.#read(paOf(gfn));
  }

  /** Whether a value leads where the entry as last read does, with the same rights where they matter. */
  #meansTheSame(node: TableNode, position: number, lo: number, hi: number): boolean {
    const { format } = node;
    const oldLo = node.lowAt(position);
    const oldHi = node.highAt(position);
    if (targetOf(format, oldLo, oldHi) !== targetOf(format, lo, hi)) return false;
    if (!this.#rightsMatter) return true;
    return restrictLeaf(RIGHTS_ALL, format, oldLo, oldHi) === restrictLeaf(RIGHTS_ALL, format, lo, hi);
  }

  #firstNodeAt(entryPa: number): TableNode | null {
    return this.#rmap.firstIn(gfnOf(entryPa));
  }

  #positionOf(node: TableNode, entryPa: number): number {
    return node.find((frameOffsetOf(entryPa) >>> this.#entryShift) - node.firstSlot);
  }

  /** Reads an entry into `#entry`: 0, which does not translate, where it cannot. Returns whether it is in memory. */
  #read(entryPa: number): boolean {
    const outcome = this.#memory.readEntry(entryPa, this.#entryBytes, this.#entry);
    if (outcome === READ_OK) return true;
    if (outcome === READ_NOT_FETCHED) this.missing.push(entryPa);
    else if (outcome !== READ_NO_MEMORY)
      throw new Error(`PhysicalMemory.readEntry returned ${String(outcome)}: not a ReadOutcome`);
    this.#entry[0] = 0;
    this.#entry[1] = 0;
    return false;
  }
}

/** Most plans stage nothing, and setting a length takes time even then. */
function empty(list: unknown[]): void {
  if (list.length > 0) list.length = 0;
}

function dropChild(parent: TableNode, child: TableNode): void {
  const position = parent.positionOf(child.firstPage);
  if (position >= 0 && parent.childAt(position) === child) parent.setChild(position, null);
}
