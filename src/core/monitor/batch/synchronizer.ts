/**
 * Keeps the nodes equal to the guest's tables: makes a plan, reports what it changes, and commits it. Only the fast path and
 * releases change nodes without a plan. This file decides what is read on which occasion, and which addresses may be reported then.
 */
import { hex } from '../../address/va.ts';
import { PtmonError } from '../../error.ts';
import { NumberList } from '../../struct/number-list.ts';
import type { Tag } from '../../struct/references.ts';
import type { MonitorEvent } from '../events.ts';
import type { Report } from '../reporting/report.ts';
import { TouchedPages } from '../reporting/touched-pages.ts';
import type { UnsettledAddresses } from '../reporting/unsettled.ts';
import type { LeafWrites } from '../fast-path/leaf-writes.ts';
import type { WatchInPlace } from '../fast-path/watch-in-place.ts';
import type { AddressSpace, SpacePages, UnreadSlot } from '../tables/address-space.ts';
import type { AddressSpaces } from '../tables/address-spaces.ts';
import { addReference, findWatcher } from '../tables/page-watches.ts';
import type { ProtectedTables } from '../tables/protected-tables.ts';
import type { ReverseMap } from '../tables/rmap.ts';
import type { TableNode } from '../tables/table-node.ts';
import type { Calls } from './calls.ts';
import type { DirtyMarks } from './dirty-marks.ts';
import type { FormerWalks } from './former-walks.ts';
import type { Plan } from './plan.ts';
import { finish, isStepDone, type Stepwise } from '../steps.ts';
import { Disturbance, undisturbed } from './undisturbed.ts';

const NO_PAGES = new TouchedPages();
const NO_ENTRIES = new NumberList();

/** Marks that the fast path may follow in one step. */
const AT_ONCE = 4096;

/** What is compared; a list of frames stands for the entries in them. */
export type CompareScope = 'all' | 'above' | readonly number[];

/** Watches that are in the tree already, and whose entries nothing has read yet. */
interface NewWatches extends SpacePages {
  readonly unread: readonly UnreadSlot[];
  readonly isNew: (page: number, offset: number) => boolean;
  readonly undo: () => void;
}

export interface SynchronizerParts {
  readonly plan: Plan;
  readonly report: Report;
  readonly reportsRights: boolean;
  readonly unsettled: UnsettledAddresses;
  readonly tables: ProtectedTables;
  readonly rmap: ReverseMap;
  readonly marks: DirtyMarks;
  readonly spaces: AddressSpaces;
  readonly formerWalks: FormerWalks;
  readonly calls: Calls;
  /** `Releases.prune`. */
  readonly prune: (pages: SpacePages) => Stepwise<void>;
  /** Null where every batch and every watch is to go the general way. */
  readonly fastPath: { readonly leafWrites: LeafWrites; readonly watchInPlace: WatchInPlace } | null;
}

export class Synchronizer {
  readonly #parts: SynchronizerParts;
  readonly #plan: Plan;
  readonly #report: Report;
  readonly #unsettled: UnsettledAddresses;
  readonly #tables: ProtectedTables;
  readonly #marks: DirtyMarks;
  readonly #spaces: AddressSpaces;
  readonly #formerWalks: FormerWalks;
  readonly #calls: Calls;
  /** The marks that are being processed, sorted. */
  readonly #sorted = new NumberList();

  constructor(parts: SynchronizerParts) {
    this.#parts = parts;
    this.#plan = parts.plan;
    this.#report = parts.report;
    this.#unsettled = parts.unsettled;
    this.#tables = parts.tables;
    this.#marks = parts.marks;
    this.#spaces = parts.spaces;
    this.#formerWalks = parts.formerWalks;
    this.#calls = parts.calls;
  }

  /** Reads what a vCPU has written, and reports what it means. @throws as `PageTableMonitor.processDirtyEntries` */
  processMarks(vcpu: number): MonitorEvent[] {
    this.#calls.begin();
    const own = this.#marks.lend(vcpu);
    // A source that delivers what it has queued while a table is being protected may add marks.
    const { length } = own;
    return this.#tryFastPath(vcpu, own, length) ?? finish(this.#processLent(vcpu, own, length));
  }

  /** Takes the fast path alone. Null where it declines, or has many marks: then nothing has happened. @throws as `processMarks` */
  processMarksAtOnce(vcpu: number): MonitorEvent[] | null {
    this.#calls.begin();
    const own = this.#marks.lend(vcpu);
    const events = own.length > AT_ONCE ? null : this.#tryFastPath(vcpu, own, own.length);
    if (events !== null) return events;
    this.#marks.keepLent();
    this.#calls.end();
    return null;
  }

  /** `processMarks` in steps. The fast path is one step, so it takes few marks only. */
  *processMarksInSteps(vcpu: number): Stepwise<MonitorEvent[]> {
    this.#calls.begin();
    const own = this.#marks.lend(vcpu);
    const { length } = own;
    const atOnce = length > AT_ONCE ? null : this.#tryFastPath(vcpu, own, length);
    return atOnce ?? (yield* this.#processLent(vcpu, own, length));
  }

  /**
   * Takes the fast path. Null where it declines: then nothing has happened, and the marks are still lent. It declines when it is turned
   * off, when another vCPU has writes in flight, when any address is unsettled, and (`LeafWrites.follow`) when an entry is not fetched
   * yet or has changed in a frame that is not a page table for all its nodes.
   */
  #tryFastPath(vcpu: number, own: NumberList, length: number): MonitorEvent[] | null {
    const { fastPath } = this.#parts;
    let events: MonitorEvent[] | null = null;
    if (length === 0) {
      events = [];
    } else if (fastPath !== null && this.#marks.pending === 1 && this.#unsettled.isEmpty) {
      try {
        const { leafWrites } = fastPath;
        events = length === 1 ? leafWrites.followOne(own.at(0), vcpu) : leafWrites.follow(this.#inOrder(own), vcpu);
      } catch (error) {
        this.#marks.keepLent();
        this.#calls.end();
        throw error;
      }
    }
    if (events === null) return null;
    this.#marks.dropLent(length);
    this.#calls.end();
    return events;
  }

  /** Neighbouring pages of a range may be reported as one run: they must come one after the other. */
  #inOrder(own: NumberList): NumberList {
    return this.#spaces.hasRanges && !own.isAscending ? this.#sort(own) : own;
  }

  /** @param length how many marks there were when they were lent */
  *#processLent(vcpu: number, own: NumberList, length: number): Stepwise<MonitorEvent[]> {
    const isAlone = this.#marks.pending === 1 && this.#unsettled.isEmpty;
    try {
      const sorted = this.#sort(own);
      const events = yield* undisturbed(() =>
        isAlone ? this.#follow(vcpu, sorted, null) : this.#followAmongOthers(vcpu, sorted),
      );
      this.#marks.dropLent(length);
      return events;
    } catch (error) {
      this.#marks.keepLent();
      throw error;
    } finally {
      this.#calls.end();
    }
  }

  /** Sorts a copy of the marks. They keep their order, so that a call that fails can be repeated with the same result (rule E7). */
  #sort(marks: NumberList): NumberList {
    const sorted = this.#sorted;
    sorted.dropFirst(sorted.length);
    sorted.pushAll(marks);
    sorted.sortUnique();
    return sorted;
  }

  /**
   * Follows one vCPU's marks while other vCPUs have writes in flight: reads the entries that any vCPU has marked, and reports only the
   * addresses that this vCPU touches (rule C4). Where those addresses are few, reads only what is marked on their walks: n vCPUs with a
   * mark each would otherwise read n entries n times.
   */
  *#followAmongOthers(vcpu: number, own: NumberList): Stepwise<MonitorEvent[]> {
    const touched = new TouchedPages();
    this.#plan.addTouched(own, touched);
    this.#formerWalks.addTouched(own, touched);
    if (touched.hasSpans || own.length > this.#marks.pending)
      return yield* this.#follow(vcpu, this.#marks.ofAll(), touched);
    const entries = new NumberList();
    entries.pushAll(own);
    for (const [space, page] of touched.pages()) this.#plan.addMarkedOnWalk(space, page, entries);
    entries.sortUnique();
    return yield* this.#follow(vcpu, entries, touched);
  }

  /**
   * Plans, reports and commits what these entries say now.
   *
   * @param unreadRoots spaces whose root was not in memory when it was last read: it is read again
   */
  *#follow(
    vcpu: number | null,
    entries: NumberList,
    touched: TouchedPages | null,
    unreadRoots: readonly AddressSpace[] = [],
  ): Stepwise<MonitorEvent[]> {
    try {
      yield* this.#plan.addEntries(entries, this.#parts.reportsRights || touched !== null);
      for (const space of unreadRoots) yield* this.#plan.stage(space.top, space.rootGfn);
      this.#requireValid();
    } catch (error) {
      yield* this.#plan.rollBack();
      throw error;
    }
    if (touched !== null) yield* this.#keepFormerWalks(touched);
    this.#report.begin(vcpu, touched);
    for (const space of unreadRoots) yield* this.#report.rootAppears(space);
    yield* this.#plan.commit(this.#report);
    yield* this.#report.settle();
    return this.#report.end();
  }

  /** Keeps the old walks of addresses that this commit moves without reporting them (`FormerWalks`). */
  *#keepFormerWalks(touched: TouchedPages): Stepwise<void> {
    for (const node of this.#plan.movingNodes(touched)) {
      this.#formerWalks.add(node);
      yield false;
    }
  }

  /** Compares the entries of a scope (in one view) with memory, and reports the differences. @throws as `PageTableMonitor.resync` */
  *compare(view: number | undefined, scope: CompareScope): Stepwise<MonitorEvent[]> {
    this.#calls.begin();
    try {
      return yield* undisturbed(() => this.#compare(view, scope));
    } finally {
      this.#calls.end();
    }
  }

  *#compare(view: number | undefined, scope: CompareScope): Stepwise<MonitorEvent[]> {
    const { rmap } = this.#parts;
    const differing = new NumberList();
    try {
      for (const first of typeof scope === 'string' ? rmap.firsts() : scope.map((gfn) => rmap.firstIn(gfn))) {
        for (let node: TableNode | null = first; node !== null; node = node.nextInFrame) {
          if (scope === 'above' && node.isPageTable) continue;
          if ((view ?? node.space.view) === node.space.view) this.#plan.compare(node, differing);
          yield true;
        }
      }
      this.#requireFetched();
    } catch (error) {
      yield* this.#plan.rollBack();
      throw error;
    }
    differing.sortUnique();
    const spaces = this.#spaces.inView(view);
    const unreadRoots = spaces.filter((space) => space.top.frame === null);
    const touched = view === undefined ? null : TouchedPages.allOf(spaces);
    return yield* this.#follow(null, differing, touched, unreadRoots);
  }

  /** Adds one reference to one address. @throws as `PageTableMonitor.monitor` */
  watch(space: AddressSpace, page: number, offset: number, tag: Tag | undefined): void {
    this.#calls.begin();
    if (offset === 0 && !this.#unsettled.isEmpty) this.#unsettled.separate(space, page);
    try {
      if (!this.#watchKnownTable(space, page, offset, tag)) this.#watchAnywhere(space, page, offset, tag);
    } finally {
      this.#calls.end();
    }
  }

  #watchAnywhere(space: AddressSpace, page: number, offset: number, tag: Tag | undefined): void {
    const wasWatched = space.isWatched(page, offset);
    const firstNew = space.addWatch(page, offset, tag);
    const watches: NewWatches = {
      space,
      first: page,
      last: page,
      unread: firstNew === null ? [] : [firstNew],
      isNew: (eachPage, eachOffset) => !wasWatched && eachPage === page && eachOffset === offset,
      undo: () => space.removeWatch(page, offset),
    };
    finish(this.#beginWatches(watches));
  }

  /** Watches an address whose page table is protected and known, without a plan. Returns whether it did; else nothing has happened. */
  #watchKnownTable(space: AddressSpace, page: number, offset: number, tag: Tag | undefined): boolean {
    const node = space.pageTableOf(page);
    if (node === null) return false;
    const position = node.positionOf(page);
    if (position >= 0 && findWatcher(node, position, offset) !== null) {
      addReference(node, position, offset, tag);
      return true;
    }
    const { fastPath } = this.#parts;
    return fastPath !== null && this.#isQuiet && fastPath.watchInPlace.add(node, page, offset, tag);
  }

  /** Adds one reference to every page of a range. @throws as `PageTableMonitor.monitorRange` */
  *watchRange({ space, first, last }: SpacePages, tag: Tag | undefined, runs: boolean): Stepwise<void> {
    this.#calls.begin();
    this.#spaces.hasRanges = true;
    const { ranges } = space;
    const added = ranges.add(first, last, tag, runs);
    try {
      yield* this.#beginWatches({
        space,
        first,
        last,
        unread: space.coverAll(first, last),
        isNew: (page, offset) =>
          offset === 0 &&
          page >= first &&
          page <= last &&
          space.findWatcher(page, 0) === null &&
          ranges.find(page)!.count === 1,
        undo: () => ranges.undo(added),
      });
      ranges.joinsAll = space.top.watchCount === 0;
      ranges.join(first, last);
    } finally {
      this.#calls.end();
    }
  }

  /**
   * Reads what new watches need, and begins them; on failure removes them, and everything that only they need.
   *
   * Also reads the entries that have writes in flight: otherwise the tree would have old values beside new ones. Where nothing traps, any
   * entry may have changed since it was read: reads again all that the new watch shares with others. Reports nothing: the new watch
   * begins with what is in memory, and other addresses are reported when those vCPUs are processed (rule C7).
   */
  *#beginWatches(watches: NewWatches): Stepwise<void> {
    const { space, first, last, isNew, undo } = watches;
    const entries = this.#isQuiet ? NO_ENTRIES : this.#marks.ofAll();
    try {
      if (!this.#tables.canTrap) {
        space.collectEntries(first, last, entries);
        entries.sortUnique();
      }
      yield* undisturbed(() => this.#planBeginning(watches, entries));
    } catch (error) {
      undo();
      yield* this.#parts.prune(watches);
      throw error;
    }
    if (entries.length === 0) {
      yield* this.#plan.commit(null);
    } else {
      yield* this.#keepFormerWalks(NO_PAGES);
      this.#report.begin(null, NO_PAGES, (each, page, offset) => each === space && isNew(page, offset));
      yield* this.#plan.commit(this.#report);
      yield* this.#report.settle();
      this.#report.end();
    }
    space.isNew = false;
  }

  *#planBeginning({ space, unread }: NewWatches, entries: NumberList): Stepwise<void> {
    try {
      yield* this.#plan.addEntries(entries, true, space);
      if (space.isNew) yield* this.#plan.stage(space.top, space.rootGfn);
      for (const [index, slot] of unread.entries()) {
        yield* this.#plan.addSlot(slot);
        if (isStepDone(index)) yield true;
      }
      this.#requireValid();
    } catch (error) {
      yield* this.#plan.rollBack();
      throw error;
    }
  }

  /** Whether the nodes are known to be equal to memory (C1). */
  get #isQuiet(): boolean {
    return this.#marks.pending === 0 && this.#tables.canTrap;
  }

  /** A plan is valid if it could read everything, and if no walk that it followed has changed meanwhile. */
  #requireValid(): void {
    this.#requireFetched();
    if (!this.#plan.isValid()) throw new Disturbance();
  }

  /** @throws PtmonError `not-fetched` */
  #requireFetched(): void {
    if (this.#plan.missing.length === 0) return;
    const missing = [...new Set(this.#plan.missing)];
    const which = `${hex(missing[0]!)}${missing.length > 1 ? ` and ${missing.length - 1} more` : ''}`;
    throw new PtmonError('not-fetched', `memory is not fetched yet: ${which}`, { missing });
  }
}
