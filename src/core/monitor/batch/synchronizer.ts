/**
 * The mirror of the guest's tables, and the only place that moves it: an update is planned, what it means is said, and it is
 * committed. Here is decided what is read on which occasion, and of whom may be spoken then.
 */
import { hex } from '../../address/va.ts';
import { PtmonError } from '../../error.ts';
import type { Paging } from '../../paging/format.ts';
import { NumberList } from '../../struct/number-list.ts';
import type { AddressSpace, UnreadSlot } from '../tables/address-space.ts';
import type { AddressSpaces } from '../tables/address-spaces.ts';
import type { DirtyMarks } from './dirty-marks.ts';
import type { MonitorEvent, Tag } from '../events.ts';
import { FormerWalks } from './former-walks.ts';
import type { LeafUpdate } from '../fast-path/leaf-writes.ts';
import { hold, holderAt, release } from '../tables/page-watches.ts';
import type { ProtectedTables } from '../tables/protected-tables.ts';
import type { Report } from '../events/report.ts';
import type { TableNode } from '../tables/table-node.ts';
import { Touched } from '../tables/touched-pages.ts';
import type { Update } from './plan.ts';

const NOBODY = new Touched();
const NO_ENTRIES = new NumberList();

/** Watches that are in the tree already, and whose entries are still to be read. */
export interface NewWatches {
  readonly unread: readonly UnreadSlot[];
  readonly isNew: (page: number, offset: number) => boolean;
  readonly undo: () => void;
}

export interface MirrorParts {
  readonly update: Update;
  readonly leafUpdate: LeafUpdate;
  readonly report: Report;
  readonly tables: ProtectedTables;
  readonly marks: DirtyMarks;
  readonly spaces: AddressSpaces;
  readonly paging: Paging;
}

export class Mirror {
  readonly #update: Update;
  readonly #leafUpdate: LeafUpdate;
  readonly #report: Report;
  readonly #tables: ProtectedTables;
  readonly #marks: DirtyMarks;
  readonly #spaces: AddressSpaces;
  readonly #paging: Paging;
  readonly #formerWalks: FormerWalks;
  /** The marks that are being processed, sorted. */
  readonly #sorted = new NumberList();

  constructor({ update, leafUpdate, report, tables, marks, spaces, paging }: MirrorParts) {
    this.#update = update;
    this.#leafUpdate = leafUpdate;
    this.#report = report;
    this.#tables = tables;
    this.#marks = marks;
    this.#spaces = spaces;
    this.#paging = paging;
    this.#formerWalks = new FormerWalks(paging.mode.entryBytes);
  }

  /** Reads what a vCPU has written, and says what it means. @throws as `PageTableMonitor.processDirtyEntries` */
  processMarks(vcpu: number): MonitorEvent[] {
    const own = this.#marks.lend(vcpu);
    if (own.length === 0) {
      this.tidy();
      return [];
    }
    // A source that delivers what it has queued while a table is being protected may mark more.
    const { length } = own;
    let events: MonitorEvent[];
    try {
      events = this.#followOwn(vcpu, own);
    } catch (error) {
      this.#marks.keepLent();
      this.tidy();
      throw error;
    }
    this.#marks.dropLent(length);
    this.tidy();
    return events;
  }

  #followOwn(vcpu: number, own: NumberList): MonitorEvent[] {
    const isAlone = this.#marks.pending === 1 && !this.#report.hasUnsettled;
    // Neighbouring pages of a range may be told as one run: they must come one after the other.
    const events = isAlone ? this.#followLeaves(vcpu, this.#spaces.hasRanges ? this.#sort(own) : own) : null;
    if (events !== null) return events;
    const sorted = this.#sort(own);
    return undisturbed(() => (isAlone ? this.#follow(vcpu, sorted, null) : this.#followAmongOthers(vcpu, sorted)));
  }

  /** Reads everything (of one view), and says what is different. @throws as `PageTableMonitor.resync` */
  compare(only: number | undefined): MonitorEvent[] {
    try {
      return undisturbed(() => this.#compare(only));
    } finally {
      this.tidy();
    }
  }

  #compare(only: number | undefined): MonitorEvent[] {
    const differing = new NumberList();
    try {
      for (const first of this.#tables.nodes.firsts()) {
        for (let node: TableNode | null = first; node !== null; node = node.nextInFrame) {
          if ((only ?? node.space.view) === node.space.view) this.#update.compare(node, differing);
        }
      }
      this.#requireFetched();
    } catch (error) {
      this.#update.abort();
      throw error;
    }
    differing.sortUnique();
    const unread = this.#spaces.inView(only).filter((space) => space.top.frame === null);
    const touched = only === undefined ? null : everythingIn(this.#spaces.inView(only));
    return this.#follow(null, differing, touched, unread);
  }

  /** Says that these spaces are gone, and lets them go. */
  end(gone: readonly AddressSpace[]): MonitorEvent[] {
    this.#report.begin(null, everythingIn(gone));
    for (const space of gone) this.#report.rootGone(space);
    const events = this.#report.end();
    for (const space of gone) this.drop(space);
    this.tidy();
    return events;
  }

  /** One more reference to one address: most of them in a page table that is there already. @throws as `begin` */
  watch(space: AddressSpace, page: number, offset: number, tag: Tag | undefined): void {
    const node = space.pageTableOf(page);
    if (node !== null && this.#watchInPlace(node, page, offset, tag)) return this.tidy();
    const wasHeld = space.isWatched(page, offset);
    const firstNew = space.addWatch(page, offset, tag, this.#paging);
    this.begin(space, page, page, {
      unread: firstNew === null ? [] : [firstNew],
      isNew: (eachPage, eachOffset) => !wasHeld && eachPage === page && eachOffset === offset,
      undo: () => space.removeWatch(page, offset),
    });
  }

  /** The same where it takes one read at the most: nothing is in flight, and the page table is protected. Answers whether it was so. */
  #watchInPlace(node: TableNode, page: number, offset: number, tag: Tag | undefined): boolean {
    let position = node.positionOf(page);
    if (position >= 0 && holderAt(node, position, offset) !== null) {
      hold(node, position, offset, tag);
      return true;
    }
    if (node.frame === null || !this.#isQuiet) return false;
    if (position < 0) position = this.#update.readInPlace(node, page);
    if (position < 0) return false;
    hold(node, position, offset, tag);
    node.countWatch();
    return true;
  }

  /** One reference less (of `tag`, where one is given) to an address that is watched singly. Answers whether there was one. */
  release(space: AddressSpace, page: number, offset: number, tag: Tag | undefined): boolean {
    const node = space.pageTableOf(page);
    const position = node === null ? -1 : node.positionOf(page);
    if (position < 0 || holderAt(node!, position, offset) === null) return false;
    if (!release(node!, position, offset, tag)) return false;
    if (holderAt(node!, position, offset) === null) {
      node!.uncountWatch();
      if (space.unsettled.size > 0) this.#report.forgetUnsettled(space, page, page);
      space.prunePage(node!, page, this.#forget);
      if (space.isEmpty) this.#spaces.close(space);
    }
    this.tidy();
    return true;
  }

  /**
   * Reads what a new watch between two pages needs, and begins it; on failure takes it back, and everything with it.
   *
   * What vCPUs have in flight is read as well, without a word to anybody: the new watch begins from the truth in memory, and
   * the others hear of it when those vCPUs are processed (rule C7). So is, where nothing traps, all that it shares with them.
   */
  begin(space: AddressSpace, first: number, last: number, fresh: NewWatches): void {
    const entries = this.#isQuiet ? NO_ENTRIES : this.#marks.ofAll();
    try {
      if (!this.#tables.canTrap) {
        space.collectEntries(first, last, this.#paging.mode.entryBytes, entries);
        entries.sortUnique();
      }
      undisturbed(() => this.#planBeginning(space, entries, fresh));
    } catch (error) {
      this.removed(space, first, last, fresh.undo);
      throw error;
    }
    if (entries.length === 0) {
      this.#update.commit(null);
    } else {
      this.#update.rememberWalks(this.#formerWalks, NOBODY);
      this.#report.begin(null, NOBODY, (each, page, offset) => each === space && fresh.isNew(page, offset));
      this.#update.commit(this.#report);
      this.#report.end();
    }
    space.isNew = false;
    this.tidy();
  }

  #planBeginning(space: AddressSpace, entries: NumberList, fresh: NewWatches): void {
    try {
      this.#update.planEntries(entries, true, space);
      if (space.isNew) this.#update.stage(space.top, space.rootGfn);
      for (const slot of fresh.unread) this.#update.planNewSlot(slot);
      this.#requireWhole();
    } catch (error) {
      this.#update.abort();
      throw error;
    }
  }

  /** After `take` has removed watches between two pages: what served only them goes as well. Never throws. */
  removed(space: AddressSpace, first: number, last: number, take: () => void): void {
    take();
    if (space.unsettled.size > 0) this.#report.forgetUnsettled(space, first, last);
    space.prune(first, last, this.#forget);
    if (space.isEmpty) this.#spaces.close(space);
    this.tidy();
  }

  /** Releases everything of an address space at once. */
  drop(space: AddressSpace): void {
    this.#report.dropUnsettled(space);
    this.#forgetAll(space.top);
    this.#spaces.close(space);
  }

  #forgetAll(node: TableNode): void {
    node.forEachChild((child) => this.#forgetAll(child));
    this.#forget(node);
  }

  readonly #forget = (node: TableNode): void => {
    const { frame } = node;
    if (frame === null) return;
    this.#tables.nodes.detach(node);
    node.frame = null;
    this.#tables.release(frame, node.space.view);
  };

  /** At the end of every call: what could not be restored is tried again, and what only writes in flight need is let go. */
  tidy(): void {
    if (!this.#formerWalks.isEmpty && this.#marks.pending === 0 && !this.#report.hasUnsettled)
      this.#formerWalks.clear();
    this.#tables.settleDebts();
  }

  /** Marks, ascending and each once. They stay as they are: where this call fails, the next says the same in the same order (rule E7). */
  #sort(marks: NumberList): NumberList {
    const sorted = this.#sorted;
    sorted.dropFirst(sorted.length);
    sorted.pushAll(marks);
    sorted.sortUnique();
    return sorted;
  }

  /** The same where page tables are all that was written to, and nobody else has anything in flight; else null. */
  #followLeaves(vcpu: number, own: NumberList): MonitorEvent[] | null {
    return own.length === 1 ? this.#leafUpdate.followOne(own.at(0), vcpu) : this.#leafUpdate.follow(own, vcpu);
  }

  /** The same where others have writes in flight: what they have written is read as well, and said of what this vCPU touches. */
  #followAmongOthers(vcpu: number, own: NumberList): MonitorEvent[] {
    const touched = new Touched();
    this.#update.addTouched(own, touched);
    this.#formerWalks.addTouched(own, touched);
    return this.#follow(vcpu, this.#marks.ofAll(), touched);
  }

  /** Plans, commits and says what these entries mean, and the roots that were not in memory when they were last read. */
  #follow(
    vcpu: number | null,
    entries: NumberList,
    touched: Touched | null,
    unread: readonly AddressSpace[] = [],
  ): MonitorEvent[] {
    try {
      this.#update.planEntries(entries, this.#report.saysRights || touched !== null);
      for (const space of unread) this.#update.stage(space.top, space.rootGfn);
      this.#requireWhole();
    } catch (error) {
      this.#update.abort();
      throw error;
    }
    if (touched !== null) this.#update.rememberWalks(this.#formerWalks, touched);
    this.#report.begin(vcpu, touched);
    for (const space of unread) this.#report.rootAppears(space);
    this.#update.commit(this.#report);
    return this.#report.end();
  }

  /** Whether all that is held is what memory says (C1). */
  get #isQuiet(): boolean {
    return this.#marks.pending === 0 && this.#tables.canTrap;
  }

  /** A plan that could not read everything is not whole, nor one whose walks have changed meanwhile. */
  #requireWhole(): void {
    this.#requireFetched();
    if (!this.#update.holds()) throw new Disturbance();
  }

  /** @throws PtmonError `not-fetched` */
  #requireFetched(): void {
    if (this.#update.missing.length === 0) return;
    const missing = [...new Set(this.#update.missing)];
    const which = `${hex(missing[0]!)}${missing.length > 1 ? ` and ${missing.length - 1} more` : ''}`;
    throw new PtmonError('not-fetched', `memory is not fetched yet: ${which}`, { missing });
  }
}

/** The guest, which runs while it is read, has led a walk elsewhere in the middle of it. */
class Disturbance extends Error {}

/** Makes a call that leaves no trace when it is disturbed until it is not. */
function undisturbed<T>(call: () => T): T {
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (!(error instanceof Disturbance)) throw error;
    }
  }
}

function everythingIn(spaces: readonly AddressSpace[]): Touched {
  const touched = new Touched();
  for (const space of spaces) touched.add(space, 0, Infinity);
  return touched;
}
