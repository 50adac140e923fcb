/**
 * The monitor: the door through which every call comes.
 *
 *      markDirty              remember what a vCPU is about to write          dirty-marks
 *      processDirtyEntries    read those entries and what hangs below them    mirror, update (plan)
 *                             say where each address led and leads now        report
 *                             and let the mirror follow                       update (commit)
 */
import { gfnOf, PAGE_BYTES } from '../address/pa.ts';
import type { PhysicalMemory } from '../memory/physical-memory.ts';
import { makePaging, type Paging, rootOf } from '../paging/format.ts';
import { walk } from '../paging/walk.ts';
import type { AddressSpace } from './address-space.ts';
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
import { Mirror } from './mirror.ts';
import { ProtectedTables } from './protected-tables.ts';
import { Report } from './report.ts';
import { Update } from './update.ts';

export class PageTableMonitor {
  readonly paging: Paging;
  readonly #memory: PhysicalMemory;
  readonly #tables: ProtectedTables;
  readonly #marks = new DirtyMarks();
  readonly #spaces: AddressSpaces;
  readonly #mirror: Mirror;

  /** @throws PtmonError `bad-argument` for impossible paging options */
  constructor(options: MonitorOptions) {
    this.paging = 'levels' in options.paging ? options.paging : makePaging(options.paging);
    this.#memory = options.memory;
    this.#tables = new ProtectedTables(options.protection, options.onFault ?? (() => {}));
    this.#spaces = new AddressSpaces(this.paging);
    const report = new Report(this.paging, new EventWriter(this.paging, new Set(options.kinds)));
    this.#mirror = new Mirror({
      update: new Update(options.memory, this.paging, this.#tables),
      report,
      tables: this.#tables,
      marks: this.#marks,
      spaces: this.#spaces,
      entryBytes: this.paging.mode.entryBytes,
    });
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
      this.#mirror.tidy();
      return known.add(request.tag);
    }

    const space = this.#spaces.open(view, root);
    const inRange = offset === 0 && space.coverage.find(page) !== undefined;
    const { watch, firstNew } = space.addWatch(page, offset, this.paging);
    watch.add(request.tag);
    this.#mirror.begin(space, page, page, {
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
    this.#mirror.begin(space, first, last, {
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
      if (watch.count === 0) this.#mirror.removed(space, page, page, () => space.removeWatch(page, watch));
      else this.#mirror.tidy();
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
    this.#mirror.removed(space, page, page, () => {
      if (watch !== null) space.removeWatch(page, watch);
    });
    return true;
  }

  /** Releases every address of a view. */
  unmonitorView(view: number): void {
    for (const space of this.#spaces.inView(checkView(view))) this.#mirror.drop(space);
    this.#mirror.tidy();
  }

  /** Releases every address. */
  unmonitorAll(): void {
    for (const space of this.#spaces.inView()) this.#mirror.drop(space);
    this.#mirror.tidy();
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
    return this.#mirror.end(gone);
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
    return this.#mirror.processMarks(vcpu);
  }

  /**
   * Compares every monitored entry (of one view, or of all) with memory, for sources that may miss writes (rule C10).
   *
   * @returns what changed; throws like `processDirtyEntries`
   */
  resync(view?: number): MonitorEvent[] {
    const only = view === undefined ? undefined : checkView(view);
    return this.#mirror.compare(only);
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

  #releaseRange(space: AddressSpace, first: number, last: number, tag: Tag | undefined): boolean {
    if (!space.coverage.release(first, last, tag)) return false;
    this.#mirror.removed(space, first, last, () => {});
    return true;
  }

  #findAddress(address: Address) {
    const view = checkView(address.view);
    const { page, offset } = locate(this.paging, address.va);
    const space = this.#spaces.find(view, rootOf(this.paging, address.root));
    return space && { space, page, offset, watch: space.findWatch(page, offset) };
  }
}
