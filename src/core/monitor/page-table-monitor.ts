/**
 * The monitor: the door through which every call comes, and the order of its steps.
 *
 *      markDirty              remember what a vCPU is about to write          dirty-marks
 *      processDirtyEntries    read those entries and what hangs below them    update (plan)
 *                             say where each address led and leads now        report
 *                             and let the mirror follow                       update (commit)
 */
import { gfnOf, PAGE_BYTES } from '../address/pa.ts';
import { hex } from '../address/va.ts';
import { PtmonError } from '../error.ts';
import type { PhysicalMemory } from '../memory/physical-memory.ts';
import { makePaging, type Paging, rootOf } from '../paging/format.ts';
import { walk } from '../paging/walk.ts';
import type { AddressSpace, UnreadSlot } from './address-space.ts';
import { AddressSpaces } from './address-spaces.ts';
import type {
  Address,
  Explanation,
  MonitorDump,
  MonitorOptions,
  RangeRequest,
  RangeWatchRequest,
  WatchRequest,
  WatchState,
} from './api.ts';
import { countEntries, countPagedIn, dump, stateOf } from './census.ts';
import { NumberList } from '../struct/number-list.ts';
import { DirtyMarks } from './dirty-marks.ts';
import { checkTag, checkVcpu, checkView, checkWrite, locate, locateRange } from './door.ts';
import { EventWriter } from './event-writer.ts';
import type { MonitorEvent, Tag } from './events.ts';
import { FormerWalks } from './former-walks.ts';
import { ProtectedTables } from './protected-tables.ts';
import { Report } from './report.ts';
import type { Watch } from './references.ts';
import type { TableNode } from './table-node.ts';
import { Touched } from './touched.ts';
import { Update } from './update.ts';

const NOBODY = new Touched();
const NO_ENTRIES = new NumberList();

/** Watches that are in the tree already, and whose entries are still to be read. */
interface NewWatches {
  readonly unread: readonly UnreadSlot[];
  readonly isNew: (page: number, watch: Watch | null) => boolean;
  readonly undo: () => void;
}

export class PageTableMonitor {
  readonly paging: Paging;
  readonly #memory: PhysicalMemory;
  readonly #tables: ProtectedTables;
  readonly #marks = new DirtyMarks();
  readonly #formerWalks: FormerWalks;
  readonly #update: Update;
  readonly #report: Report;
  readonly #spaces: AddressSpaces;

  /** @throws PtmonError `bad-argument` for impossible paging options */
  constructor(options: MonitorOptions) {
    this.paging = 'levels' in options.paging ? options.paging : makePaging(options.paging);
    this.#memory = options.memory;
    this.#tables = new ProtectedTables(options.protection, options.onFault ?? (() => {}));
    this.#spaces = new AddressSpaces(this.paging);
    this.#formerWalks = new FormerWalks(this.paging.mode.entryBytes);
    const kinds = new Set(options.kinds);
    this.#update = new Update(options.memory, this.paging, this.#tables);
    this.#report = new Report(this.paging, new EventWriter(this.paging, kinds));
  }

  /**
   * Watches one address. Says nothing about what is there already (rule E8); ask `state`.
   *
   * @throws PtmonError `non-canonical`, `bad-argument`, `no-such-view`, `not-fetched`, or what the source throws; then nothing
   * has changed (rule C9)
   */
  monitor(request: WatchRequest): void {
    const view = checkView(request.view);
    const root = rootOf(this.paging, request.root);
    const { page, offset } = locate(this.paging, request.va);
    checkTag(request.tag);
    const known = this.#spaces.find(view, root)?.findWatch(page, offset);
    if (known) {
      this.#tidy();
      return known.add(request.tag);
    }

    const space = this.#spaces.open(view, root);
    const inRange = offset === 0 && space.coverage.find(page) !== undefined;
    const { watch, firstNew } = space.addWatch(page, offset, this.paging);
    watch.add(request.tag);
    this.#begin(space, page, page, {
      unread: firstNew === null ? [] : [firstNew],
      isNew: (_page, each) => each === watch && !inRange,
      undo: () => space.removeWatch(page, watch),
    });
  }

  /**
   * Watches every page that [va, va + byteLength) touches, as `monitor` on each page's first byte would, at a cost per page
   * that is mapped. Throws like `monitor`.
   */
  monitorRange(request: RangeWatchRequest): void {
    const view = checkView(request.view);
    const root = rootOf(this.paging, request.root);
    const { first, last } = locateRange(this.paging, request);
    checkTag(request.tag);

    const space = this.#spaces.open(view, root);
    const saved = space.coverage.save(first, last);
    space.coverage.add(first, last, request.tag, request.runs ?? false);
    this.#begin(space, first, last, {
      unread: space.coverAll(first, last),
      isNew: (page, watch) =>
        watch === null && page >= first && page <= last && !saved.some((piece) => piece.holds(page)),
      undo: () => space.coverage.restore(first, last, saved),
    });
  }

  /** Releases one reference of an address: of `tag`, where one is given. Answers whether there was one (rule R1). */
  unmonitor(request: WatchRequest): boolean {
    const found = this.#findAddress(request);
    if (found === undefined) return false;
    const { space, page, offset, watch } = found;
    if (watch !== null && watch.release(request.tag)) {
      if (watch.count === 0) this.#removed(space, page, page, () => space.removeWatch(page, watch));
      else this.#tidy();
      return true;
    }
    return offset === 0 && this.#releaseRange(space, page, page, request.tag);
  }

  /** Releases one reference of every page of a range that a range holds. Answers whether any was held. */
  unmonitorRange(request: RangeRequest): boolean {
    const view = checkView(request.view);
    const { first, last } = locateRange(this.paging, request);
    const space = this.#spaces.find(view, rootOf(this.paging, request.root));
    return space !== undefined && this.#releaseRange(space, first, last, request.tag);
  }

  /** Releases every reference of an address, those of ranges included. Answers whether there was one. */
  unmonitorByForce(address: Address): boolean {
    const found = this.#findAddress(address);
    if (found === undefined) return false;
    const { space, page, offset, watch } = found;
    const cleared = offset === 0 && space.coverage.clear(page, page);
    if (watch === null && !cleared) return false;
    this.#removed(space, page, page, () => {
      if (watch !== null) space.removeWatch(page, watch);
    });
    return true;
  }

  /** Releases every address of a view. */
  unmonitorView(view: number): void {
    for (const space of this.#spaces.inView(checkView(view))) this.#drop(space);
    this.#tidy();
  }

  /** Releases every address. */
  unmonitorAll(): void {
    for (const space of this.#spaces.inView()) this.#drop(space);
    this.#tidy();
  }

  /**
   * Releases every address of a root that is no top-level table any more (rule R4), in one view or in all.
   *
   * @returns a last page-out for each address that was backed, and `root-gone` where it was asked for
   */
  rootGone(root: number | bigint, view?: number): MonitorEvent[] {
    const rootPa = rootOf(this.paging, root);
    const only = view === undefined ? undefined : checkView(view);
    const gone = this.#spaces.inView(only).filter((space) => space.root === rootPa);
    this.#report.begin(null, everythingIn(gone));
    for (const space of gone) this.#report.rootGone(space);
    const events = this.#report.end();
    for (const space of gone) this.#drop(space);
    this.#tidy();
    return events;
  }

  /**
   * A vCPU is about to write to the entry at `pa`, or to any byte of it.
   *
   * @returns whether the entry is on the walk of a watched address, in any view
   */
  markDirtyEntry(pa: number, view: number, vcpu: number): boolean {
    return this.markDirty(pa, 1, view, vcpu);
  }

  /**
   * A vCPU is about to write `byteLength` bytes from `pa` on: any width, any alignment (rule C5).
   *
   * @returns whether any entry that this touches is on the walk of a watched address, in any view (rule C6)
   */
  markDirty(pa: number, byteLength: number, view: number, vcpu: number): boolean {
    checkWrite(pa, byteLength);
    checkView(view);
    checkVcpu(vcpu);
    const { entryBytes } = this.paging.mode;
    let monitored = false;
    for (const gfn of this.#tables.framesInFlight(gfnOf(pa), gfnOf(pa + byteLength - 1))) {
      const frame = this.#tables.find(gfn);
      const start = gfn * PAGE_BYTES;
      const from = Math.floor(Math.max(0, pa - start) / entryBytes);
      const to = Math.floor((Math.min(PAGE_BYTES, pa + byteLength - start) - 1) / entryBytes);
      for (let slot = from; slot <= to; slot++) {
        this.#marks.add(vcpu, start + slot * entryBytes);
        monitored ||= frame?.isMonitored(slot) ?? false;
      }
    }
    return monitored;
  }

  /**
   * What `vcpu` has marked is now in memory: brings every address that it touched to the truth.
   *
   * @returns what changed, in a fresh array
   * @throws PtmonError `not-fetched`, or what the source throws; marks and states are then as before, and the call can be made
   * again (rule C9)
   */
  processDirtyEntries(vcpu: number): MonitorEvent[] {
    checkVcpu(vcpu);
    const own = this.#marks.lend(vcpu);
    if (own.length === 0) {
      this.#tidy();
      return [];
    }
    const processed = own.length;
    const alone = !this.#marks.hasOthers(vcpu) && !this.#report.hasUnsettled;
    const events = alone ? this.#follow(vcpu, own, null) : this.#followAmongOthers(vcpu, own);
    // A source that delivers what it has queued while a table is being protected may have marked more.
    this.#marks.dropFirst(vcpu, processed);
    this.#tidy();
    return events;
  }

  /**
   * Compares every monitored entry (of one view, or of all) with memory, for sources that may miss writes (rule C10).
   *
   * @returns what changed; throws like `processDirtyEntries`
   */
  resync(view?: number): MonitorEvent[] {
    const only = view === undefined ? undefined : checkView(view);
    const differing = new NumberList();
    try {
      for (const frame of this.#tables.frames()) {
        for (const node of frame.nodes) {
          if ((only ?? node.space.view) === node.space.view) this.#update.compare(node, differing);
        }
      }
      this.#requireFetched();
    } catch (error) {
      throw this.#giveUp(error);
    }
    differing.sortUnique();
    const unread = this.#spaces.inView(only).filter((space) => space.top.frame === null);
    const touched = only === undefined ? null : everythingIn(this.#spaces.inView(only));
    const events = this.#follow(null, differing, touched, unread);
    this.#tidy();
    return events;
  }

  /** Frames that are protected, however many views protect them. */
  monitoredTables(): number {
    return this.#tables.size;
  }

  /**
   * Physical addresses of the entries on watched walks, for sources that trap single entries; one that serves several tables
   * or views comes as often. In the same order while nothing has changed. Looks at everything.
   */
  entryAddresses(): Float64Array {
    const entries = new NumberList();
    for (const frame of this.#tables.frames()) {
      for (const node of frame.nodes) {
        for (let position = 0; position < node.slots.length; position++) {
          entries.push(node.entryPa(frame.gfn, position, this.paging.mode.entryBytes));
        }
      }
    }
    return entries.toTypedArray();
  }

  /** Entries on some watched walk, each counted once. Looks at everything. */
  monitoredEntries(): number {
    return countEntries(this.#tables);
  }

  /** Watched addresses that are backed, pages of ranges included. Looks at everything. */
  pagedInEntries(): number {
    return this.#spaces.inView().reduce((sum, space) => sum + countPagedIn(space), 0);
  }

  /** What is held true of a watched address; undefined when it is not watched. Reads no memory. */
  state(address: Address): WatchState | undefined {
    const found = this.#findAddress(address);
    return found && stateOf(this.paging, found.space, found.page, found.offset);
  }

  /** A fresh walk of an address, watched or not, beside what is held true of it. */
  explain(address: Address): Explanation {
    return { state: this.state(address), walk: walk(this.paging, this.#memory, address.root, address.va) };
  }

  /** Everything that is held. Looks at everything. */
  dump(): MonitorDump {
    return dump(this.paging, this.#spaces.inView(), this.#tables, this.#marks);
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
      this.#requireFetched();
    } catch (error) {
      throw this.#giveUp(error);
    }
    if (touched !== null) this.#update.rememberWalks(this.#formerWalks);
    this.#report.begin(vcpu, touched);
    for (const space of unread) this.#report.rootAppears(space);
    this.#update.commit(this.#report);
    return this.#report.end();
  }

  /**
   * Reads what a new watch between two pages needs, and begins it; on failure takes it back, and everything with it.
   *
   * What vCPUs have in flight is read as well, without a word to anybody: the new watch begins from the truth in memory, and
   * the others hear of it when those vCPUs are processed (rule C7). So is, where nothing traps, all that it shares with them.
   */
  #begin(space: AddressSpace, first: number, last: number, fresh: NewWatches): void {
    const isQuiet = this.#marks.isEmpty && this.#tables.canTrap;
    const entries = isQuiet ? NO_ENTRIES : this.#marks.ofAll();
    try {
      if (!this.#tables.canTrap) {
        space.collectEntries(first, last, this.paging.mode.entryBytes, entries);
        entries.sortUnique();
      }
      this.#update.planEntries(entries, true, space);
      if (space.isNew) this.#update.stage(space.top, space.rootGfn);
      for (const { node, position } of fresh.unread) this.#update.planNewSlot(node, position);
      this.#requireFetched();
    } catch (error) {
      const failure = this.#giveUp(error);
      this.#removed(space, first, last, fresh.undo);
      throw failure;
    }
    if (entries.length === 0) {
      this.#update.commit(null);
    } else {
      this.#update.rememberWalks(this.#formerWalks);
      this.#report.begin(null, NOBODY, (each, page, watch) => each === space && fresh.isNew(page, watch));
      this.#update.commit(this.#report);
      this.#report.end();
    }
    space.isNew = false;
    this.#tidy();
  }

  /** At the end of every call: what could not be restored is tried again, and what only writes in flight need is let go. */
  #tidy(): void {
    this.#tables.settleDebts();
    if (!this.#formerWalks.isEmpty && this.#marks.isEmpty && !this.#report.hasUnsettled) this.#formerWalks.clear();
  }

  /** A plan that could not read everything is not whole. @throws PtmonError `not-fetched` */
  #requireFetched(): void {
    if (this.#update.missing.length === 0) return;
    const missing = [...new Set(this.#update.missing)];
    const which = `${hex(missing[0]!)}${missing.length > 1 ? ` and ${missing.length - 1} more` : ''}`;
    throw new PtmonError('not-fetched', `memory is not fetched yet: ${which}`, { missing });
  }

  /** A plan failed: it leaves no trace. Answers the error, to be thrown. */
  #giveUp(error: unknown): unknown {
    this.#update.abort();
    this.#tidy();
    return error;
  }

  #releaseRange(space: AddressSpace, first: number, last: number, tag: Tag | undefined): boolean {
    if (!space.coverage.release(first, last, tag)) return false;
    this.#removed(space, first, last, () => {});
    return true;
  }

  /** After `take` has removed watches between two pages: what served only them goes as well. Never throws. */
  #removed(space: AddressSpace, first: number, last: number, take: () => void): void {
    take();
    if (space.unsettled.size > 0) this.#report.forgetUnsettled(space, first, last);
    space.prune(first, last, (node) => this.#forget(node));
    if (space.isEmpty) this.#spaces.close(space);
    this.#tidy();
  }

  /** Releases everything of an address space at once. */
  #drop(space: AddressSpace): void {
    this.#report.dropUnsettled(space);
    this.#forgetAll(space.top);
    this.#spaces.close(space);
  }

  #forgetAll(node: TableNode): void {
    for (const child of node.children) if (child !== null) this.#forgetAll(child);
    this.#forget(node);
  }

  #forget(node: TableNode): void {
    const { frame } = node;
    if (frame === null) return;
    frame.detach(node);
    node.frame = null;
    this.#tables.release(frame, node.space.view);
  }

  #findAddress(address: Address) {
    const view = checkView(address.view);
    const { page, offset } = locate(this.paging, address.va);
    const space = this.#spaces.find(view, rootOf(this.paging, address.root));
    return space && { space, page, offset, watch: space.findWatch(page, offset) };
  }
}

function everythingIn(spaces: readonly AddressSpace[]): Touched {
  const touched = new Touched();
  for (const space of spaces) touched.add(space, 0, Infinity);
  return touched;
}
