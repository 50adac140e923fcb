/**
 * Reports what a change of the tables means to the watched addresses below it (rules E1 to E6).
 *
 * Nothing here knows what kinds of change there are. For every watched page below a changed entry, where it led before is compared
 * with where it leads after, and the difference becomes events. Both are at hand while a plan is committed: the old entries in
 * the nodes, the new ones in what the plan has staged for them (`TableNode.next`).
 */
import { highWord, lowWord } from '../../address/va.ts';
import { ENTRY_TABLE, type Paging, targetOf } from '../../paging/format.ts';
import { isStepDone, type Stepwise } from '../steps.ts';
import type { Cause, MonitorEvent } from '../events.ts';
import type { AddressSpace } from '../tables/address-space.ts';
import { Mapping, NO_TABLE } from '../tables/mapping.ts';
import { Watch } from '../tables/page-watches.ts';
import type { Segment } from '../tables/range-set.ts';
import type { Space, TableNode } from '../tables/table-node.ts';
import { rightsAbove, translate } from '../tables/translate.ts';
import { CauseNote } from './cause-note.ts';
import type { Difference, EventWriter, Subject } from './event-writer.ts';
import type { TouchedPages } from './touched-pages.ts';
import { causeOf, type Unsettled, type UnsettledAddresses } from './unsettled.ts';

type IsNew = (space: Space, page: number, offset: number) => boolean;

/** Pages that one slot translates, or a whole address space: where they led and will lead. One for each level, reused. */
class SpanChange implements Difference {
  /** The node of the table below the slot; null where there is none, and only ranges watch these pages. */
  node: TableNode | null = null;
  firstPage = 0;
  pages = 0;
  readonly before = new Mapping();
  readonly after = new Mapping();
  /** The entry that events of these pages name: chosen in `Report.entryChanges` and `Report.#below`. */
  because: CauseNote | null = null;
  /** The note of this level. */
  readonly note = new CauseNote();

  get leadsElsewhere(): boolean {
    return this.before.gfn !== this.after.gfn || this.before.tableGfn !== this.after.tableGfn;
  }

  /** Drops the node, which keeps its whole tree alive. */
  forget(): void {
    this.node = null;
    this.before.clear();
    this.after.clear();
  }
}

export class Report {
  readonly #paging: Paging;
  readonly #writer: EventWriter;
  readonly #unsettled: UnsettledAddresses;
  /** Pages that may be reported; null for all. */
  #touched: TouchedPages | null = null;
  #isNew: IsNew | null = null;
  /** By the level of the slot, from 1 on. */
  readonly #spans: readonly SpanChange[];
  readonly #wholeSpaceSpan = new SpanChange();
  #subject: Subject | null = null;

  constructor(paging: Paging, writer: EventWriter, unsettled: UnsettledAddresses) {
    this.#paging = paging;
    this.#writer = writer;
    this.#unsettled = unsettled;
    this.#spans = paging.byLevel.map(() => new SpanChange());
  }

  /**
   * @param touched the pages that may be reported; null for all
   * @param isNew addresses whose watch begins with this batch: nothing is reported of them yet (rule E8)
   */
  begin(vcpu: number | null, touched: TouchedPages | null, isNew: IsNew | null = null): void {
    this.#touched = touched;
    this.#isNew = isNew;
    this.#writer.begin(vcpu);
  }

  /** Reports touched addresses that are still unsettled. */
  *settle(): Stepwise<void> {
    if (this.#unsettled.isEmpty) return;
    for (const space of this.#unsettled.spaces()) yield* this.#settle(space, true);
  }

  /** Returns all events since `begin`. */
  end(): MonitorEvent[] {
    this.#touched = null;
    this.#isNew = null;
    this.#subject = null;
    for (const span of this.#spans) if (span.node !== null) span.forget();
    if (this.#wholeSpaceSpan.node !== null) this.#wholeSpaceSpan.forget();
    return this.#writer.take();
  }

  /** Reports the page of a page table's entry that is about to get the value (`lo`, `hi`). */
  entryChanges(node: TableNode, position: number, lo: number, hi: number): void {
    this.#page(node, position, this.#spanOf(node, position, lo, hi));
  }

  /**
   * Reports the pages below any other entry. The tables that it will lead to are staged. The entry is the cause of their events, unless
   * `#below` finds a lower one.
   */
  *entryAboveChanges(node: TableNode, position: number, lo: number, hi: number): Stepwise<void> {
    const span = this.#spanOf(node, position, lo, hi);
    span.node = node.childAt(position);
    span.firstPage = node.pageAt(position);
    span.pages = node.format.slotPages;
    yield* this.#below(node.space, span);
  }

  /** Where the pages of an entry lead, and will lead. */
  #spanOf(node: TableNode, position: number, lo: number, hi: number): SpanChange {
    const { format } = node;
    const span = this.#spans[format.level]!;
    const oldLo = node.lowAt(position);
    const oldHi = node.highAt(position);
    const entryPa = node.entryPa(node.frame!.gfn, position, this.#paging.mode.entryBytes);
    span.because = span.note.entry(entryPa, format.level).from(oldLo, oldHi).to(lo, hi);

    const rights = this.#writer.writesRights || this.#touched !== null ? rightsAbove(node) : 0;
    const child = node.childAt(position);
    if (span.before.setEntry(format, oldLo, oldHi, rights) === ENTRY_TABLE) enterOld(span.before, child);
    if (span.after.setEntry(format, lo, hi, rights) === ENTRY_TABLE) enterNew(span.after, child);
    return span;
  }

  /** Reports the pages of a space whose root was not in memory before, and is now. The tables that it leads to are staged. */
  *rootAppears(space: Space): Stepwise<void> {
    const span = this.#wholeSpace(space);
    enterNew(span.after, space.top);
    yield* this.#below(space, span);
  }

  /** A whole address space ends: its backed addresses are paged out, and all of them are gone (rule R4). */
  *rootGone(space: AddressSpace): Stepwise<void> {
    const span = this.#wholeSpace(space);
    enterOld(span.before, space.top);
    yield* this.#below(space, span);
    yield* this.#settle(space, false);
    yield* this.#reportGone(space);
  }

  /** Each address once: a range is reported in the parts between its pages that are watched singly besides. */
  *#reportGone(space: AddressSpace): Stepwise<void> {
    const both: number[] = [];
    let next = 0;
    let count = 0;
    for (const { page, pages, offset, watcher, segment } of space.watched()) {
      if (isStepDone(count++)) yield false;
      if (watcher !== null) {
        this.#writer.rootGone({ space, page, pages, offset, watcher, segment });
        if (segment !== undefined) both.push(page);
        continue;
      }
      // Segments and single watches both come in ascending order.
      let first = page;
      for (; next < both.length && both[next]! < page + pages; next++) {
        const single = both[next]!;
        if (single > first)
          this.#writer.rootGone({ space, page: first, pages: single - first, offset, watcher, segment });
        first = single + 1;
      }
      const rest = page + pages - first;
      if (rest > 0) this.#writer.rootGone({ space, page: first, pages: rest, offset, watcher, segment });
    }
  }

  #wholeSpace(space: Space): SpanChange {
    const span = this.#wholeSpaceSpan;
    span.node = space.top;
    span.firstPage = 0;
    span.pages = space.top.pages;
    span.before.clear();
    span.after.clear();
    span.because = null;
    return span;
  }

  /**
   * Every watched page of a span.
   *
   * The cause of an event is the lowest entry that the old and the new walk of the page both read, and that leads elsewhere now. Both read
   * the entries of one table here where the span leads to that table before and after. Otherwise their walks have parted above, and the
   * cause stays the entry at which they did. So if a self-map slot changes, the cause is that slot at the level where the walks part:
   * at the PML4, unless the new walk comes back to the old table at the same level.
   */
  *#below(space: Space, span: SpanChange): Stepwise<void> {
    const { node, before, after } = span;
    if (before.leadsNowhere && after.leadsNowhere) return;
    if (node === null) return yield* this.#pagesOfRanges(space, span);

    const { format } = node;
    const slot = this.#spans[format.level]!;
    const isSameTable = before.tableGfn !== NO_TABLE && before.tableGfn === after.tableGfn;
    for (let position = node.firstFrom(0); position >= 0; position = node.nextAfter(position)) {
      const child = node.childAt(position);
      if (enterSlot(slot.before, before, node, position) === ENTRY_TABLE) enterOld(slot.before, child);
      if (enterSlot(slot.after, after, node, position) === ENTRY_TABLE) enterNew(slot.after, child);
      slot.because = isSameTable && slot.leadsElsewhere ? this.#note(node, position, span) : span.because;
      if (node.isPageTable) {
        this.#page(node, position, slot);
      } else {
        slot.node = child;
        slot.firstPage = node.pageAt(position);
        slot.pages = format.slotPages;
        yield* this.#below(space, slot);
      }
    }
    yield false;
  }

  /** Notes the change of the entry at `position` of the table that a span leads to, before and after. */
  #note(node: TableNode, position: number, { before, after }: SpanChange): CauseNote {
    const { level } = node.format;
    const entryPa = node.entryPa(after.tableGfn, position, this.#paging.mode.entryBytes);
    return this.#spans[level]!.note.entry(entryPa, level)
      .from(before.lowAt(position), before.highAt(position))
      .to(after.lowAt(position), after.highAt(position));
  }

  /** Pages that only ranges watch, below an entry that is a large leaf or maps nothing, before and after. */
  *#pagesOfRanges(space: Space, span: SpanChange): Stepwise<void> {
    if (span.before.equals(span.after)) return;
    const { firstPage } = span;
    const one = this.#spans[1]!;
    one.because = span.because;
    for (const { page, pages, segment } of this.#alike(space, firstPage, firstPage + span.pages - 1)) {
      one.before.setWithin(span.before, page - firstPage);
      one.after.setWithin(span.after, page - firstPage);
      this.#address(this.#about({ space, page, pages, offset: 0, watcher: null, segment }), one);
      if (isStepDone(page)) yield false;
    }
  }

  /**
   * Cuts what ranges watch of a large page, or of pages that nothing backs, into pieces. The pages of a piece are all reported, or all
   * kept unsettled. They are contiguous: what is true of the first one is true of the others.
   */
  *#alike(
    space: Space,
    firstPage: number,
    lastPage: number,
  ): Generator<Pick<Subject, 'page' | 'pages'> & { segment: Segment }> {
    const touched = this.#touched;
    for (const segment of space.ranges.overlapping(firstPage, lastPage)) {
      const last = Math.min(segment.last, lastPage);
      for (let page = Math.max(segment.first, firstPage); page <= last; ) {
        let end = last;
        if (touched !== null) end = touched.alikeUntil(space, page, end);
        if (!this.#unsettled.isEmpty) end = this.#unsettled.alikeUntil(space, page, end);
        const isReported = touched === null || touched.has(space, page);
        if (isReported && !this.#writer.writesRuns(segment)) end = page;
        yield { page, pages: end - page + 1, segment };
        page = end + 1;
      }
    }
  }

  /** The watched addresses of one page. */
  #page(node: TableNode, position: number, difference: Difference): void {
    if (difference.before.equals(difference.after)) return;
    const { space } = node;
    const page = node.pageAt(position);
    const segment = space.ranges.isEmpty ? undefined : space.ranges.find(page);
    const watcher = node.watcherAt(position);
    const offset = watcher === null ? 0 : watcher instanceof Watch ? watcher.offset : node.offsetAt(position);
    if (segment !== undefined && (watcher === null || offset > 0)) {
      this.#address(this.#about({ space, page, pages: 1, offset: 0, watcher: null, segment }), difference);
    }
    if (watcher === null) return;
    const its = offset === 0 ? segment : undefined;
    this.#address(this.#about({ space, page, pages: 1, offset, watcher, segment: its }), difference);
    if (!(watcher instanceof Watch)) return;
    for (let { next } = watcher; next !== null; next = next.next) {
      const also = { space, page, pages: 1, offset: next.offset, watcher: next, segment: undefined };
      this.#address(this.#about(also), difference);
    }
  }

  /** The same object each time: the compiler makes none for the argument. */
  #about({ space, page, pages, offset, watcher, segment }: Subject): Subject {
    const subject = this.#subject;
    if (subject === null) {
      this.#subject = { space, page, pages, offset, watcher, segment };
      return this.#subject;
    }
    subject.space = space;
    subject.page = page;
    subject.pages = pages;
    subject.offset = offset;
    subject.watcher = watcher;
    subject.segment = segment;
    return subject;
  }

  /** One watched address: reported if it may be, unsettled if not. */
  #address(subject: Subject, difference: Difference): void {
    if (this.#touched === null && this.#unsettled.isEmpty) return this.#writer.difference(subject, difference);
    const { space, page, pages, offset } = subject;
    const { before, after, because } = difference;
    const unsettled = this.#unsettled.take(space, subject);
    const reported = unsettled?.reported ?? before;
    const causes = because === null ? null : this.#causesOf(unsettled, because.cause, before.gfn !== after.gfn);
    if (this.#touched === null || this.#touched.has(space, page)) {
      const cause = causes && { cause: causeOf({ ...causes, reported }, after) };
      this.#writer.difference(subject, { before: reported, after, because: cause });
    } else if (causes !== null && !this.#isNew?.(space, page, offset)) {
      const kept = { page, pages, offset, reported: unsettled?.reported ?? before.copy(), ...causes };
      this.#unsettled.add(space, kept);
    } else if (unsettled !== undefined) {
      this.#unsettled.add(space, unsettled);
    }
  }

  /** The causes of an address that is unsettled already, or is about to be, after one more change. */
  #causesOf(unsettled: Unsettled | undefined, cause: Cause, moves: boolean): Pick<Unsettled, 'cause' | 'moved'> {
    if (unsettled === undefined) return { cause, moved: moves ? cause : null };
    const { moved } = unsettled;
    // The entry that moved the address may change once more, even if only its rights do: its last value is the one to name.
    const isKept = moved !== null && !moves && moved.entryPa !== cause.entryPa;
    const next = moved === null ? (moves ? cause : null) : isKept ? moved : this.#movedSince(moved, cause);
    return { cause: since(unsettled.cause, cause), moved: next };
  }

  /**
   * What moved an address since it was last reported, after one more change. As `since`; but an entry that leads where it led at first
   * has moved nothing from its first value to its last: then only its last change is named.
   */
  #movedSince(first: Cause, last: Cause): Cause {
    const format = this.#paging.byLevel[last.level]!;
    const led = targetOf(format, lowWord(first.oldValue), highWord(first.oldValue));
    const leads = targetOf(format, lowWord(last.newValue), highWord(last.newValue));
    return led === leads ? last : since(first, last);
  }

  /** Reports the unsettled addresses of a space that are touched, though nothing has changed for them in this batch. */
  *#settle(space: Space, hasCause: boolean): Stepwise<void> {
    for (const [index, unsettled] of this.#unsettled.of(space).entries()) {
      if (isStepDone(index)) yield false;
      if (unsettled.pages === 1) this.#settleOne(space, unsettled, hasCause);
      else yield* this.#settleSpan(space, unsettled, hasCause);
    }
  }

  #settleOne(space: Space, { page, offset }: Unsettled, hasCause: boolean): void {
    const segment = offset === 0 ? space.ranges.find(page) : undefined;
    const watcher = space.findWatcher(page, offset);
    this.#settleAlike({ space, page, pages: 1, offset, watcher, segment }, hasCause);
  }

  *#settleSpan(space: Space, { page: first, pages: all }: Unsettled, hasCause: boolean): Stepwise<void> {
    for (const { page, pages, segment } of this.#alike(space, first, first + all - 1)) {
      this.#settleAlike({ space, page, pages, offset: 0, watcher: null, segment }, hasCause);
      if (isStepDone(page)) yield false;
    }
  }

  /** Reports unsettled addresses, if they are touched: one, or the pages of a piece (`#alike`). */
  #settleAlike(subject: Subject, hasCause: boolean): void {
    const { space, page } = subject;
    if (this.#touched !== null && !this.#touched.has(space, page)) return;
    const unsettled = this.#unsettled.take(space, subject)!;
    const after = new Mapping();
    translate(space, page, after);
    const because = hasCause ? { cause: causeOf(unsettled, after) } : null;
    this.#writer.difference(subject, { before: unsettled.reported, after, because });
  }
}

/** Sets `slot` to where the slot at `position` leads: by the entry of the span's table, or to its part of the span's large page. */
function enterSlot(slot: Mapping, span: Mapping, node: TableNode, position: number): number | undefined {
  const { format } = node;
  if (span.tableGfn !== NO_TABLE) {
    return slot.setEntry(format, span.lowAt(position), span.highAt(position), span.rights);
  }
  slot.setWithin(span, node.slotAt(position) * format.slotPages);
  return undefined;
}

/** What changed since an address was last reported. If one entry changed several times, its first old and last new value; else the last change. */
function since(first: Cause, last: Cause): Cause {
  const isSameEntry = first.entryPa === last.entryPa && first.oldValue !== last.newValue;
  return isSameEntry ? { ...last, oldValue: first.oldValue } : last;
}

/** Makes `mapping` lead to the table that backs a node now. */
function enterOld(mapping: Mapping, node: TableNode | null): void {
  if (node !== null && node.frame !== null) mapping.setTable(node.frame.gfn, node.words, node.stride);
}

/** Makes `mapping` lead to the table that will back a node. */
function enterNew(mapping: Mapping, node: TableNode | null): void {
  if (node?.next === undefined) return enterOld(mapping, node);
  const { frame, words } = node.next;
  if (frame !== null) mapping.setTable(frame.gfn, words, 2);
}
