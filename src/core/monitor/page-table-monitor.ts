/**
 * The monitor's public class: validates arguments, and hands each call to the part that does it.
 *
 *      markDirty              notes what a vCPU is about to write             batch/write-marker, batch/dirty-marks
 *      processDirtyEntries    reads those entries and everything below them   batch/synchronizer, batch/plan
 *                             reports where each address led and leads now    reporting/report, reporting/event-writer
 *                             and makes the nodes follow                      batch/plan (commit), tables/table-node
 *
 * Most batches change page tables alone, and take a shorter way: fast-path/leaf-writes. Rules such as C9: docs/contract.md.
 */
import { makePaging, type Paging, rootOf } from '../paging/format.ts';
import { walk } from '../paging/walk.ts';
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
import {
  checkOptions,
  checkRequest,
  checkRuns,
  checkTag,
  checkVcpu,
  checkView,
  checkWrite,
  locate,
  locateRange,
} from './arguments.ts';
import { backedRuns } from './backed-runs.ts';
import { Calls } from './batch/calls.ts';
import { DirtyMarks } from './batch/dirty-marks.ts';
import { FormerWalks } from './batch/former-walks.ts';
import { Plan } from './batch/plan.ts';
import { Releases } from './batch/releases.ts';
import { finish, noSteps, type Stepwise } from './steps.ts';
import { type CompareScope, Synchronizer } from './batch/synchronizer.ts';
import { isUnchanged } from './batch/unchanged.ts';
import { WriteMarker } from './batch/write-marker.ts';
import { EventWriter } from './reporting/event-writer.ts';
import { Report } from './reporting/report.ts';
import { UnsettledAddresses } from './reporting/unsettled.ts';
import { CallInSteps } from './call-in-steps.ts';
import type { BackedRun, MonitorEvent } from './events.ts';
import { LeafWrites } from './fast-path/leaf-writes.ts';
import { WatchInPlace } from './fast-path/watch-in-place.ts';
import {
  countEntries,
  countPagedIn,
  dump,
  entryAddresses,
  type EntrySelection,
  type MonitorParts,
  stateOf,
} from './inspect.ts';
import type { AddressSpace } from './tables/address-space.ts';
import { AddressSpaces } from './tables/address-spaces.ts';
import { DEFAULT_RANGE_PAGES } from './tables/range-limit.ts';
import { Faults } from './tables/faults.ts';
import { ProtectedTables } from './tables/protected-tables.ts';
import { ReverseMap } from './tables/rmap.ts';
import type { EntrySet } from './tables/table-node.ts';

export type { CompareScope };

export class PageTableMonitor {
  readonly paging: Paging;
  readonly #memory: MonitorOptions['memory'];
  readonly #tables: ProtectedTables;
  readonly #rmap = new ReverseMap();
  readonly #marker: WriteMarker;
  readonly #spaces: AddressSpaces;
  readonly #parts: MonitorParts;
  readonly #calls: Calls;
  readonly #plan: Plan;
  readonly #synchronizer: Synchronizer;
  readonly #releases: Releases;
  readonly #entrySet: EntrySet = { version: 0 };

  /** @throws PtmonError `bad-argument` for an impossible option */
  constructor(options: MonitorOptions) {
    checkOptions(options);
    const paging = 'levels' in options.paging ? options.paging : makePaging(options.paging);
    this.paging = paging;
    const { memory, fastPath = true, maxRangePages = DEFAULT_RANGE_PAGES } = options;
    const { entryBytes } = paging.mode;
    this.#memory = memory;
    const faults = new Faults(options.onFault ?? (() => {}));
    this.#tables = new ProtectedTables(options.protection, faults);
    this.#spaces = new AddressSpaces({ paging, maxRangePages, entrySet: this.#entrySet });

    const [tables, rmap, marks, spaces] = [this.#tables, this.#rmap, new DirtyMarks(), this.#spaces];
    this.#marker = new WriteMarker({ tables, rmap, marks, entryBytes, isFast: fastPath });
    const unsettled = new UnsettledAddresses();
    const writer = new EventWriter(paging, new Set(options.kinds), maxRangePages);
    const report = new Report(paging, writer, unsettled);
    const reportsRights = writer.writesRights;
    this.#parts = { paging, spaces, unsettled, tables, rmap, marks };
    const formerWalks = new FormerWalks(entryBytes);
    this.#calls = new Calls({ tables, faults, marks, unsettled, formerWalks });
    this.#releases = new Releases({ calls: this.#calls, report, unsettled, tables, rmap, spaces });
    this.#plan = new Plan({ memory, paging, tables, rmap, faults, marks });
    this.#synchronizer = new Synchronizer({
      plan: this.#plan,
      report,
      reportsRights,
      unsettled,
      tables,
      rmap,
      marks,
      spaces,
      formerWalks,
      calls: this.#calls,
      prune: (pages) => this.#releases.prune(pages),
      fastPath: fastPath
        ? {
            leafWrites: new LeafWrites({ memory, paging, rmap, report, reportsRights }),
            watchInPlace: new WatchInPlace(memory, entryBytes),
          }
        : null,
    });
  }

  /**
   * Watches one address. Emits no event for what is there already (rule E8): `state` returns it.
   * @throws PtmonError `non-canonical`, `bad-argument`, `no-such-view`, `not-fetched`, or what the source throws; then nothing
   * has changed (rule C9)
   */
  monitor(request: WatchRequest): void {
    this.#calls.admit('monitor');
    checkRequest(request);
    const view = checkView(request.view);
    const root = rootOf(this.paging, request.root);
    const { page, offset } = locate(this.paging, request.va);
    checkTag(request.tag);
    this.#synchronizer.watch(this.#spaces.open(view, root), page, offset, request.tag);
  }

  /**
   * Watches every page that [va, va + byteLength) touches: the same as `monitor` for the first byte of each page. Takes time and
   * memory for the pages that are mapped only. Throws like `monitor`.
   */
  monitorRange(request: RangeWatchRequest): void {
    this.monitorRangeInSteps(request).finish();
  }

  /** The same in steps. Arguments are checked with the first one. */
  monitorRangeInSteps(request: RangeWatchRequest): CallInSteps<void> {
    return this.#call('monitorRange', () => {
      checkRequest(request);
      const view = checkView(request.view);
      const root = rootOf(this.paging, request.root);
      const { first, last } = locateRange(this.paging, request);
      checkTag(request.tag);
      const runs = checkRuns(request.runs);
      const space = this.#spaces.open(view, root);
      return this.#synchronizer.watchRange({ space, first, last }, request.tag, runs);
    });
  }

  /** Releases one reference to an address: of `tag`, where it is given. Returns whether there was one (rule R1). */
  unmonitor(request: WatchRequest): boolean {
    this.#calls.admit('unmonitor');
    checkRequest(request);
    const space = this.#findSpace(request);
    const { page, offset } = locate(this.paging, request.va);
    if (space === undefined) return false;
    if (this.#releases.release(space, page, offset, request.tag)) return true;
    return offset === 0 && finish(this.#releases.releaseRange({ space, first: page, last: page }, request.tag));
  }

  /** Releases one reference to every page of a range that ranges watch. Returns whether there was any. */
  unmonitorRange(request: RangeRequest): boolean {
    return this.unmonitorRangeInSteps(request).finish();
  }

  /** The same in steps. */
  unmonitorRangeInSteps(request: RangeRequest): CallInSteps<boolean> {
    return this.#call('unmonitorRange', () => {
      checkRequest(request);
      const view = checkView(request.view);
      const { first, last } = locateRange(this.paging, request);
      const space = this.#spaces.find(view, rootOf(this.paging, request.root));
      return space === undefined ? noSteps(false) : this.#releases.releaseRange({ space, first, last }, request.tag);
    });
  }

  /** Releases every reference to an address, those of ranges included. Returns whether there was one. */
  unmonitorByForce(address: Address): boolean {
    this.#calls.admit('unmonitorByForce');
    checkRequest(address);
    const space = this.#findSpace(address);
    const { page, offset } = locate(this.paging, address.va);
    if (space === undefined || !space.isWatched(page, offset)) return false;
    this.#releases.releaseAll(space, page, offset);
    return true;
  }

  /** Releases every address of a view. */
  unmonitorView(view: number): void {
    this.unmonitorViewInSteps(view).finish();
  }

  /** The same in steps. */
  unmonitorViewInSteps(view: number): CallInSteps<void> {
    return this.#call('unmonitorView', () => this.#releases.drop(this.#spaces.inView(checkView(view))));
  }

  /** Releases every address. */
  unmonitorAll(): void {
    this.unmonitorAllInSteps().finish();
  }

  /** The same in steps. */
  unmonitorAllInSteps(): CallInSteps<void> {
    return this.#call('unmonitorAll', () => this.#releases.drop(this.#spaces.inView()));
  }

  /**
   * Releases every address of a root that is a top-level table no longer (rule R4), in one view or in all.
   * @returns a last page-out for each address that was backed, and `root-gone` where `kinds` lists it
   */
  rootGone(root: number | bigint, view?: number): MonitorEvent[] {
    return this.rootGoneInSteps(root, view).finish();
  }

  /** The same in steps. */
  rootGoneInSteps(root: number | bigint, view?: number): CallInSteps<MonitorEvent[]> {
    return this.#call('rootGone', () => {
      const rootPa = rootOf(this.paging, root);
      const only = view === undefined ? undefined : checkView(view);
      return this.#releases.rootsGone(this.#spaces.ofRoot(rootPa, only));
    });
  }

  /**
   * A vCPU is about to write to the entry at `pa`, or to any byte of it.
   * @param view the view that the vCPU writes in; it is checked, but the watches of every view count (rule C6)
   * @returns whether the entry is on the walk of a watched address, in any view
   */
  markDirtyEntry(pa: number, view: number, vcpu: number): boolean {
    checkWrite(pa, 1);
    checkView(view);
    checkVcpu(vcpu);
    return this.#marker.markEntry(pa, vcpu);
  }

  /**
   * A vCPU is about to write `byteLength` bytes from `pa` on: any width, any alignment (rule C5).
   * @returns whether any entry that this touches is on the walk of a watched address, in any view (rule C6)
   */
  markDirty(pa: number, byteLength: number, view: number, vcpu: number): boolean {
    checkWrite(pa, byteLength);
    checkView(view);
    checkVcpu(vcpu);
    return this.#marker.markBytes(pa, byteLength, vcpu);
  }

  /**
   * What `vcpu` has marked is now in memory: reads it, and reports every address that it touched. Those that other vCPUs touched are
   * reported when those are processed (rule C4).
   * @returns what changed, in a fresh array
   * @throws PtmonError `not-fetched`, or what the source throws; marks and states are then as before, and the call can be
   * repeated (rule C9)
   */
  processDirtyEntries(vcpu: number): MonitorEvent[] {
    this.#calls.admit('processDirtyEntries');
    checkVcpu(vcpu);
    return this.#synchronizer.processMarks(vcpu);
  }

  /** The same in steps. */
  processDirtyEntriesInSteps(vcpu: number): CallInSteps<MonitorEvent[]> {
    return this.#call('processDirtyEntries', () => {
      checkVcpu(vcpu);
      return this.#synchronizer.processMarksInSteps(vcpu);
    });
  }

  /** `processDirtyEntries` where it takes the fast path, which is a matter of microseconds. Else returns null, and nothing has happened. */
  processAtOnce(vcpu: number): MonitorEvent[] | null {
    this.#calls.admit('processAtOnce');
    checkVcpu(vcpu);
    return this.#synchronizer.processMarksAtOnce(vcpu);
  }

  /** Whether `resync` would report nothing; false, too, where it takes longer than a moment. @throws what the source throws */
  isUnchanged(scope: 'all' | 'above'): boolean {
    this.#calls.admit('isUnchanged');
    // `resync` also reports unsettled addresses.
    if (!this.#parts.unsettled.isEmpty) return false;
    return isUnchanged({ calls: this.#calls, plan: this.#plan, rmap: this.#rmap, spaces: this.#spaces }, scope);
  }

  /**
   * Compares every monitored entry (of one view, or of all) with memory, for sources that may miss writes (rule C10).
   * @param scope `above` compares only the entries above the page tables: few, and they decide where all others are. A list of frames
   *   compares only the entries in them, for sources that know where writes were
   * @returns what changed; throws like `processDirtyEntries`
   */
  resync(view?: number, scope?: CompareScope): MonitorEvent[] {
    return this.resyncInSteps(view, scope).finish();
  }

  /** The same in steps. */
  resyncInSteps(view?: number, scope: CompareScope = 'all'): CallInSteps<MonitorEvent[]> {
    const only = view === undefined ? undefined : () => checkView(view);
    return this.#call('resync', () => this.#synchronizer.compare(only?.(), scope));
  }

  /** Whether a frame is a table on a watched walk, in any view. */
  isMonitoredTable(gfn: number): boolean {
    return this.#rmap.firstIn(gfn) !== null;
  }

  /** Frames that are protected, however many views protect them. */
  monitoredTables(): number {
    this.#calls.finishPaused();
    return this.#tables.size;
  }

  /** Changes whenever `entryAddresses` may return others than before. */
  get entryVersion(): number {
    this.#calls.finishPaused();
    return this.#entrySet.version;
  }

  /**
   * Physical addresses of the entries on watched walks, for sources that trap single entries. An entry that serves several tables or
   * views is listed once for each. The order stays the same while nothing changes. Takes time proportional to what is watched.
   */
  entryAddresses(selection: EntrySelection = {}): Float64Array {
    this.#calls.finishPaused();
    return entryAddresses(this.#parts, selection);
  }

  /** Entries on some watched walk, each counted once. Takes time proportional to what is watched. */
  monitoredEntries(): number {
    this.#calls.finishPaused();
    return countEntries(this.#parts);
  }

  /** Watched addresses that are backed, pages of ranges included. Takes time proportional to what is watched. */
  pagedInEntries(): number {
    this.#calls.finishPaused();
    return countPagedIn(this.#parts);
  }

  /** The state of a watched address; undefined when it is not watched. Reads no memory. */
  state(address: Address): WatchState | undefined {
    this.#calls.finishPaused();
    checkRequest(address);
    const space = this.#findSpace(address);
    const { page, offset } = locate(this.paging, address.va);
    return space && stateOf(this.#parts, space, page, offset);
  }

  /**
   * What backs the watched pages of a range, as last reported: the answers that `state` gives for the first byte of each page, in as few
   * runs as possible, ascending. Reads no memory.
   */
  backedRuns(request: RangeRequest): readonly BackedRun[] {
    this.#calls.finishPaused();
    checkRequest(request);
    const { first, last } = locateRange(this.paging, request);
    const space = this.#findSpace(request);
    return space === undefined ? [] : backedRuns(this.paging, this.#parts.unsettled, { space, first, last });
  }

  /** A fresh walk of an address, watched or not, beside its state. */
  explain(address: Address): Explanation {
    checkRequest(address);
    const fresh = this.#calls.query(() => walk(this.paging, this.#memory, address.root, address.va));
    return { state: this.state(address), walk: fresh };
  }

  /** Everything that this monitor knows. Takes time proportional to what is watched. */
  dump(): MonitorDump {
    this.#calls.finishPaused();
    return dump(this.#parts);
  }

  /** A call whose first step checks its arguments, and which no other call may interrupt. */
  #call<T>(name: string, begin: () => Stepwise<T>): CallInSteps<T> {
    const calls = this.#calls;
    const steps = function* (): Stepwise<T> {
      calls.admit(name);
      return yield* begin();
    };
    return new CallInSteps(calls, steps());
  }

  #findSpace(address: Address): AddressSpace | undefined {
    return this.#spaces.find(checkView(address.view), rootOf(this.paging, address.root));
  }
}
