/**
 * Says what a change of the mirror means to the watched addresses below it (rules E1 to E6).
 *
 * Nothing here knows what an entry transition is. For every watched page below a changed entry, where it led before is
 * compared with where it leads after, and the difference is said. Both are at hand while an update commits: the old entries
 * in the nodes, the new ones in what is staged for them.
 */
import { ENTRY_TABLE, type Paging } from '../paging/format.ts';
import { type AddressSpace, settlingKey } from './address-space.ts';
import { CauseNote } from './cause.ts';
import type { Piece } from './coverage.ts';
import type { Cause, MonitorEvent } from './events.ts';
import { EventWriter } from './event-writer.ts';
import { Mapping, rightsAbove, translate } from './mapping.ts';
import type { Watch } from './references.ts';
import type { TableNode } from './table-node.ts';
import type { Touched } from './touched.ts';

type IsNew = (space: AddressSpace, page: number, watch: Watch | null) => boolean;

export class Report {
  readonly #paging: Paging;
  readonly #writer: EventWriter;
  /** Pages that may be spoken of; null for all. */
  #touched: Touched | null = null;
  #isNew: IsNew | null = null;
  /** Address spaces with unsettled addresses. */
  readonly #waiting = new Set<AddressSpace>();

  // One of each per level: where a slot led and will lead, and the entry to blame.
  readonly #before: Mapping[];
  readonly #after: Mapping[];
  readonly #notes: CauseNote[];
  readonly #pageBefore = new Mapping();
  readonly #pageAfter = new Mapping();

  constructor(paging: Paging, writer: EventWriter) {
    this.#paging = paging;
    this.#writer = writer;
    this.#before = paging.byLevel.map(() => new Mapping());
    this.#after = paging.byLevel.map(() => new Mapping());
    this.#notes = paging.byLevel.map(() => new CauseNote());
  }

  /** Whether rights that changed alone are said. */
  get saysRights(): boolean {
    return this.#writer.saysRights;
  }

  get hasUnsettled(): boolean {
    return this.#waiting.size > 0;
  }

  /**
   * @param touched the pages that may be spoken of; null for all
   * @param isNew addresses whose watch begins with this batch: there is nothing to say of them yet (rule E8)
   */
  begin(vcpu: number | null, touched: Touched | null, isNew: IsNew | null = null): void {
    this.#touched = touched;
    this.#isNew = isNew;
    this.#writer.begin(vcpu);
  }

  /** Says what there is left to say of touched addresses, and hands over everything said since `begin`. */
  end(): MonitorEvent[] {
    if (this.#waiting.size > 0) for (const space of this.#waiting) this.#settleWaiting(space);
    return this.#writer.take();
  }

  /** An entry is about to become (`lo`, `hi`). What is staged below it is where its addresses will lead. */
  entryChanges(node: TableNode, position: number, lo: number, hi: number): void {
    const { format, values } = node;
    const oldLo = values[2 * position]!;
    const oldHi = values[2 * position + 1]!;
    const note = this.#notes[format.level]!;
    note.note(
      node.entryPa(node.frame!.gfn, position, this.#paging.mode.entryBytes),
      format.level,
      oldLo,
      oldHi,
      lo,
      hi,
    );

    const before = this.#before[format.level]!;
    const after = this.#after[format.level]!;
    const rights = this.#writer.saysRights || this.#touched !== null ? rightsAbove(node) : 0;
    const child = node.isPageTable ? null : node.children[position]!;
    const kindBefore = before.setEntry(format, oldLo, oldHi, rights);
    const kindAfter = after.setEntry(format, lo, hi, rights);
    if (node.isPageTable) {
      this.#page(node.space, node.pageAt(position), node.watchesAt(position), before, after, note);
      return;
    }
    if (kindBefore === ENTRY_TABLE) enterOld(before, child);
    if (kindAfter === ENTRY_TABLE) enterNew(after, child);
    this.#below(node.space, child, node.pageAt(position), format.slotPages, before, after, note);
  }

  /** The root of a space turns out to be in memory after all: what is staged for it is where its addresses will lead. */
  rootAppears(space: AddressSpace): void {
    this.#before[0]!.clear();
    this.#after[0]!.clear();
    enterNew(this.#after[0]!, space.top);
    this.#wholeSpace(space);
  }

  /** A whole address space ends: its backed addresses are paged out, and all of them are gone (rule R4). */
  rootGone(space: AddressSpace): void {
    this.#before[0]!.clear();
    enterOld(this.#before[0]!, space.top);
    this.#after[0]!.clear();
    this.#wholeSpace(space);
    this.#settleWaiting(space, null);
    this.#writer.rootGone(space);
  }

  /** Unsettled addresses of a space between two pages that are watched no more, or never will be again. */
  forgetUnsettled(space: AddressSpace, first: number, last: number): void {
    for (const [key, { page }] of space.unsettled) {
      if (page < first || page > last) continue;
      const watched = typeof key === 'number' ? isWatched(space, key) : space.findWatch(page, key.offset) === key;
      if (!watched) this.#settled(space, key);
    }
  }

  /** A space is dropped as a whole. */
  dropUnsettled(space: AddressSpace): void {
    space.unsettled.clear();
    this.#waiting.delete(space);
  }

  #wholeSpace(space: AddressSpace): void {
    const { slots, slotPages } = space.top.format;
    this.#below(space, space.top, 0, slots * slotPages, this.#before[0]!, this.#after[0]!, null);
  }

  /** Every watched page of a span, where it led before and where it will lead. */
  #below(
    space: AddressSpace,
    node: TableNode | null,
    firstPage: number,
    pages: number,
    before: Mapping,
    after: Mapping,
    note: CauseNote | null,
  ): void {
    if (before.isNothing && after.isNothing) return;
    if (node === null) return this.#flat(space, firstPage, pages, before, after, note);

    const { format } = node;
    const oldSlot = node.isPageTable ? this.#pageBefore : this.#before[format.level]!;
    const newSlot = node.isPageTable ? this.#pageAfter : this.#after[format.level]!;
    const sameTable = before.frame !== null && before.frame === after.frame;
    for (let position = 0; position < node.slots.length; position++) {
      const child = node.isPageTable ? null : node.children[position]!;
      const pagesIn = node.slots.at(position) * format.slotPages;
      if (enterSlot(oldSlot, before, format, position, pagesIn) === ENTRY_TABLE) enterOld(oldSlot, child);
      if (enterSlot(newSlot, after, format, position, pagesIn) === ENTRY_TABLE) enterNew(newSlot, child);
      const closer = sameTable && (oldSlot.gfn !== newSlot.gfn || oldSlot.frame !== newSlot.frame);
      const blame = closer ? this.#narrow(node, position, before, after) : note;
      const start = firstPage + pagesIn;
      if (node.isPageTable) this.#page(space, start, node.watchesAt(position), oldSlot, newSlot, blame);
      else this.#below(space, child, start, format.slotPages, oldSlot, newSlot, blame);
    }
  }

  /** Pages that only ranges watch, below an entry that is a large leaf or nothing, before and after. */
  #flat(
    space: AddressSpace,
    firstPage: number,
    pages: number,
    before: Mapping,
    after: Mapping,
    note: CauseNote | null,
  ): void {
    for (const piece of space.coverage.overlapping(firstPage, firstPage + pages - 1)) {
      const last = Math.min(piece.last, firstPage + pages - 1);
      for (let page = Math.max(piece.first, firstPage); page <= last; page++) {
        this.#pageBefore.setWithin(before, page - firstPage);
        this.#pageAfter.setWithin(after, page - firstPage);
        this.#page(space, page, null, this.#pageBefore, this.#pageAfter, note);
      }
    }
  }

  /** Where both walks pass through one table, an entry of it that leads elsewhere is closer to the cause than the one above. */
  #narrow(node: TableNode, position: number, before: Mapping, after: Mapping): CauseNote {
    const { format } = node;
    const [old, now] = [before.values!, after.values!];
    const entryPa = node.entryPa(after.frame!.gfn, position, this.#paging.mode.entryBytes);
    const note = this.#notes[format.level]!;
    note.note(
      entryPa,
      format.level,
      old[2 * position]!,
      old[2 * position + 1]!,
      now[2 * position]!,
      now[2 * position + 1]!,
    );
    return note;
  }

  /** The watched addresses of one page. */
  #page(
    space: AddressSpace,
    page: number,
    watches: Watch | null,
    before: Mapping,
    after: Mapping,
    note: CauseNote | null,
  ): void {
    if (before.leadsLike(after)) return;
    const piece = space.coverage.isEmpty ? undefined : space.coverage.find(page);
    if (piece !== undefined && watches?.offset !== 0) this.#address(space, page, null, piece, before, after, note);
    for (let watch = watches; watch !== null; watch = watch.next) {
      this.#address(space, page, watch, watch.offset === 0 ? piece : undefined, before, after, note);
    }
  }

  /** One watched address: said if it may be, kept for later if not. */
  #address(
    space: AddressSpace,
    page: number,
    watch: Watch | null,
    piece: Piece | undefined,
    before: Mapping,
    after: Mapping,
    note: CauseNote | null,
  ): void {
    const key = settlingKey(page, watch);
    const unsettled = space.unsettled.size > 0 ? space.unsettled.get(key) : undefined;
    const cause = unsettled === undefined || note === null ? note : { cause: since(unsettled.cause, note.cause) };
    if (this.#touched === null || this.#touched.has(space, page)) {
      if (unsettled !== undefined) this.#settled(space, key);
      this.#writer.difference(space, page, watch, piece, unsettled?.reported ?? before, after, cause);
    } else if (cause !== null && !this.#isNew?.(space, page, watch)) {
      const reported = unsettled?.reported ?? before.copy();
      space.unsettled.set(key, { page, reported, cause: cause.cause });
      this.#waiting.add(space);
    }
  }

  /** Unsettled addresses that are touched, though nothing changed for them this time. */
  #settleWaiting(space: AddressSpace, because?: null): void {
    for (const [key, { page, reported, cause }] of space.unsettled) {
      if (this.#touched !== null && !this.#touched.has(space, page)) continue;
      this.#settled(space, key);
      translate(space, page, this.#pageAfter);
      const watch = typeof key === 'number' ? space.findWatch(page, 0) : key;
      const piece = typeof key === 'number' ? space.coverage.find(page) : undefined;
      this.#writer.difference(
        space,
        page,
        watch,
        piece,
        reported,
        this.#pageAfter,
        because === null ? null : { cause },
      );
    }
  }

  #settled(space: AddressSpace, key: Watch | number): void {
    space.unsettled.delete(key);
    if (space.unsettled.size === 0) this.#waiting.delete(space);
  }
}

/** Leads where the slot at `position` of a span's table does, or the part of the span's memory that the slot covers. */
function enterSlot(
  slot: Mapping,
  span: Mapping,
  format: TableNode['format'],
  position: number,
  pagesIn: number,
): number | undefined {
  if (span.frame !== null) {
    const { values } = span;
    return slot.setEntry(format, values![2 * position]!, values![2 * position + 1]!, span.rights);
  }
  slot.setWithin(span, pagesIn);
  return undefined;
}

/** What changed since an address was last spoken of: one entry from its first old value to its last new one, or the last entry. */
function since(first: Cause, last: Cause): Cause {
  const sameEntry = first.entryPa === last.entryPa && first.oldValue !== last.newValue;
  return sameEntry ? { ...last, oldValue: first.oldValue } : last;
}

function isWatched(space: AddressSpace, page: number): boolean {
  return space.coverage.find(page) !== undefined || space.findWatch(page, 0) !== null;
}

function enterOld(mapping: Mapping, child: TableNode | null): void {
  if (child !== null) mapping.setTable(child.frame, child.values, mapping.rights);
}

function enterNew(mapping: Mapping, child: TableNode | null): void {
  if (child === null) return;
  const { frame, values } = child.next ?? child;
  mapping.setTable(frame, values, mapping.rights);
}
