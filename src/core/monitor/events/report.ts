/**
 * Says what a change of the mirror means to the watched addresses below it (rules E1 to E6).
 *
 * Nothing here knows what an entry transition is. For every watched page below a changed entry, where it led before is
 * compared with where it leads after, and the difference is said. Both are at hand while an update commits: the old entries
 * in the nodes, the new ones in what is staged for them.
 */
import { ENTRY_TABLE, type Paging } from '../../paging/format.ts';
import { type AddressSpace, settlingKey } from '../tables/address-space.ts';
import { CauseNote } from './cause-note.ts';
import type { Piece } from '../tables/range-set.ts';
import type { Cause, MonitorEvent } from '../events.ts';
import { EventWriter } from './event-writer.ts';
import { Mapping, rightsAbove, translate } from '../tables/mapping.ts';
import type { Holder } from '../tables/page-watches.ts';
import { Watch } from '../../struct/references.ts';
import type { TableNode } from '../tables/table-node.ts';
import type { Touched } from '../tables/touched-pages.ts';

type IsNew = (space: AddressSpace, page: number, offset: number) => boolean;

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
    this.#touched = null;
    this.#isNew = null;
    return this.#writer.take();
  }

  /** An entry is about to become (`lo`, `hi`). What is staged below it is where its addresses will lead. */
  entryChanges(node: TableNode, position: number, lo: number, hi: number): void {
    const { format } = node;
    const oldLo = node.lowAt(position);
    const oldHi = node.highAt(position);
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
    const child = node.childAt(position);
    const kindBefore = before.setEntry(format, oldLo, oldHi, rights);
    const kindAfter = after.setEntry(format, lo, hi, rights);
    if (node.isPageTable) {
      this.#page(node, position, before, after, note);
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
    for (const [key, { page, offset }] of space.unsettled) {
      if (page < first || page > last) continue;
      if (!space.isWatched(page, offset)) this.#settled(space, key);
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
    for (let position = node.firstFrom(0); position >= 0; position = node.nextAfter(position)) {
      const child = node.childAt(position);
      const pagesIn = node.slotAt(position) * format.slotPages;
      if (enterSlot(oldSlot, before, format, position, pagesIn) === ENTRY_TABLE) enterOld(oldSlot, child);
      if (enterSlot(newSlot, after, format, position, pagesIn) === ENTRY_TABLE) enterNew(newSlot, child);
      const closer = sameTable && (oldSlot.gfn !== newSlot.gfn || oldSlot.frame !== newSlot.frame);
      const blame = closer ? this.#narrow(node, position, before, after) : note;
      if (node.isPageTable) this.#page(node, position, oldSlot, newSlot, blame);
      else this.#below(space, child, firstPage + pagesIn, format.slotPages, oldSlot, newSlot, blame);
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
        if (this.#pageBefore.leadsLike(this.#pageAfter)) continue;
        this.#address(space, page, 0, null, piece, this.#pageBefore, this.#pageAfter, note);
      }
    }
  }

  /** Where both walks pass through one table, an entry of it that leads elsewhere is closer to the cause than the one above. */
  #narrow(node: TableNode, position: number, before: Mapping, after: Mapping): CauseNote {
    const { format } = node;
    const entryPa = node.entryPa(after.frame!.gfn, position, this.#paging.mode.entryBytes);
    const note = this.#notes[format.level]!;
    note.note(
      entryPa,
      format.level,
      before.lowAt(position),
      before.highAt(position),
      after.lowAt(position),
      after.highAt(position),
    );
    return note;
  }

  /** The watched addresses of one page. */
  #page(node: TableNode, position: number, before: Mapping, after: Mapping, note: CauseNote | null): void {
    if (before.leadsLike(after)) return;
    const { space } = node;
    const page = node.pageAt(position);
    const piece = space.coverage.isEmpty ? undefined : space.coverage.find(page);
    const holder = node.watchedAt(position);
    const offset = holder === null ? 0 : holder instanceof Watch ? holder.offset : node.offsetAt(position);
    if (piece !== undefined && (holder === null || offset > 0)) {
      this.#address(space, page, 0, null, piece, before, after, note);
    }
    if (holder === null) return;
    this.#address(space, page, offset, holder, offset === 0 ? piece : undefined, before, after, note);
    if (!(holder instanceof Watch)) return;
    for (let { next } = holder; next !== null; next = next.next) {
      this.#address(space, page, next.offset, next, undefined, before, after, note);
    }
  }

  /** One watched address: said if it may be, kept for later if not. */
  #address(
    space: AddressSpace,
    page: number,
    offset: number,
    holder: Holder | null,
    piece: Piece | undefined,
    before: Mapping,
    after: Mapping,
    note: CauseNote | null,
  ): void {
    if (this.#touched === null && space.unsettled.size === 0) {
      return this.#writer.difference(space, page, offset, holder, piece, before, after, note);
    }
    const key = settlingKey(page, offset);
    const unsettled = space.unsettled.get(key);
    const cause = unsettled === undefined || note === null ? note : { cause: since(unsettled.cause, note.cause) };
    if (this.#touched === null || this.#touched.has(space, page)) {
      if (unsettled !== undefined) this.#settled(space, key);
      this.#writer.difference(space, page, offset, holder, piece, unsettled?.reported ?? before, after, cause);
    } else if (cause !== null && !this.#isNew?.(space, page, offset)) {
      const reported = unsettled?.reported ?? before.copy();
      space.unsettled.set(key, { page, offset, reported, cause: cause.cause });
      this.#waiting.add(space);
    }
  }

  /** Unsettled addresses that are touched, though nothing changed for them this time. */
  #settleWaiting(space: AddressSpace, because?: null): void {
    for (const [key, { page, offset, reported, cause }] of space.unsettled) {
      if (this.#touched !== null && !this.#touched.has(space, page)) continue;
      this.#settled(space, key);
      translate(space, page, this.#pageAfter);
      const holder = space.findHolder(page, offset);
      const piece = offset === 0 ? space.coverage.find(page) : undefined;
      const note = because === null ? null : { cause };
      this.#writer.difference(space, page, offset, holder, piece, reported, this.#pageAfter, note);
    }
  }

  #settled(space: AddressSpace, key: bigint): void {
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
    return slot.setEntry(format, span.lowAt(position), span.highAt(position), span.rights);
  }
  slot.setWithin(span, pagesIn);
  return undefined;
}

/** What changed since an address was last spoken of: one entry from its first old value to its last new one, or the last entry. */
function since(first: Cause, last: Cause): Cause {
  const sameEntry = first.entryPa === last.entryPa && first.oldValue !== last.newValue;
  return sameEntry ? { ...last, oldValue: first.oldValue } : last;
}

function enterOld(mapping: Mapping, child: TableNode | null): void {
  if (child !== null) mapping.setTable(child.frame, child.words, child.stride, mapping.rights);
}

function enterNew(mapping: Mapping, child: TableNode | null): void {
  if (child?.next === undefined) enterOld(mapping, child);
  else mapping.setTable(child.next.frame, child.next.words, 2, mapping.rights);
}
