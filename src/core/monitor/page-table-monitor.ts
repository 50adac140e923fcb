/**
 * The monitor: the door through which every call comes.
 *
 *      markDirty              remember what a vCPU is about to write          dirty-marks
 *      processDirtyEntries    read those entries and what hangs below them    mirror, update (plan)
 *                             say where each address led and leads now        report
 *                             and let the mirror follow                       update (commit)
 */
import { frameOffsetOf, gfnOf, PAGE_BYTES } from '../address/pa.ts';
import type { PhysicalMemory } from '../memory/physical-memory.ts';
import { makePaging, type Paging, rootOf } from '../paging/format.ts';
import { walk } from '../paging/walk.ts';
import type { AddressSpace } from './tables/address-space.ts';
import { AddressSpaces } from './tables/address-spaces.ts';
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
import { countEntries, countPagedIn, dump, stateOf } from './inspect.ts';
import { NumberList } from '../struct/number-list.ts';
import { DirtyMarks } from './batch/dirty-marks.ts';
import { checkTag, checkVcpu, checkView, checkWrite, locate, locateRange } from './arguments.ts';
import { EventWriter } from './events/event-writer.ts';
import type { MonitorEvent, Tag } from './events.ts';
import { LeafUpdate } from './fast-path/leaf-writes.ts';
import { Mirror } from './batch/synchronizer.ts';
import { announceWrite, type NodesByFrame } from './tables/rmap.ts';
import { ProtectedTables } from './tables/protected-tables.ts';
import type { TableNode } from './tables/table-node.ts';
import { Report } from './events/report.ts';
import { Update } from './batch/plan.ts';

export class PageTableMonitor {
  readonly paging: Paging;
  readonly #memory: PhysicalMemory;
  readonly #tables: ProtectedTables;
  readonly #nodes: NodesByFrame;
  readonly #marks = new DirtyMarks();
  readonly #spaces: AddressSpaces;
  readonly #mirror: Mirror;
  /** Bits of a frame offset that lie within an entry. */
  readonly #entryShift: number;

  /** @throws PtmonError `bad-argument` for impossible paging options */
  constructor(options: MonitorOptions) {
    this.paging = 'levels' in options.paging ? options.paging : makePaging(options.paging);
    this.#entryShift = Math.log2(this.paging.mode.entryBytes);
    this.#memory = options.memory;
    this.#tables = new ProtectedTables(options.protection, options.onFault ?? (() => {}));
    this.#nodes = this.#tables.nodes;
    this.#spaces = new AddressSpaces(this.paging);
    const writer = new EventWriter(this.paging, new Set(options.kinds));
    const report = new Report(this.paging, writer);
    const { memory } = options;
    this.#mirror = new Mirror({
      update: new Update(memory, this.paging, this.#tables),
      leafUpdate: new LeafUpdate({ memory, paging: this.paging, nodes: this.#nodes, report, writer }),
      report,
      tables: this.#tables,
      marks: this.#marks,
      spaces: this.#spaces,
      paging: this.paging,
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
    this.#mirror.watch(this.#spaces.open(view, root), page, offset, request.tag);
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
    this.#spaces.hasRanges = true;
    const saved = space.coverage.save(first, last);
    space.coverage.add(first, last, request.tag, request.runs ?? false);
    this.#mirror.begin(space, first, last, {
      unread: space.coverAll(first, last),
      isNew: (page, offset) =>
        offset === 0 &&
        page >= first &&
        page <= last &&
        space.findHolder(page, 0) === null &&
        !saved.some((piece) => piece.holds(page)),
      undo: () => space.coverage.restore(first, last, saved),
    });
  }

  /** Releases one reference of an address: of `tag`, where one is given. Answers whether there was one (rule R1). */
  unmonitor(request: WatchRequest): boolean {
    const space = this.#findSpace(request);
    const { page, offset } = locate(this.paging, request.va);
    if (space === undefined) return false;
    if (this.#mirror.release(space, page, offset, request.tag)) return true;
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
    const space = this.#findSpace(address);
    const { page, offset } = locate(this.paging, address.va);
    if (space === undefined || !space.isWatched(page, offset)) return false;
    this.#mirror.removed(space, page, page, () => {
      if (offset === 0) space.coverage.clear(page, page);
      if (space.findHolder(page, offset) !== null) space.removeWatch(page, offset);
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
    checkWrite(pa, 1);
    checkView(view);
    checkVcpu(vcpu);
    const gfn = gfnOf(pa);
    const firstNode = this.#nodes.firstIn(gfn);
    if (firstNode === null && !this.#tables.trapsForNobody(gfn)) return false;
    const offset = frameOffsetOf(pa);
    const isMonitored = announceWrite(firstNode, offset >>> this.#entryShift);
    this.#marks.add(vcpu, pa - (offset & (this.paging.mode.entryBytes - 1)));
    return isMonitored;
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
    const first = gfnOf(pa);
    const last = gfnOf(pa + byteLength - 1);
    const { entryBytes } = this.paging.mode;
    let monitored = false;
    for (const gfn of this.#tables.framesInFlight(first, last)) {
      const firstNode = this.#nodes.firstIn(gfn);
      const start = gfn * PAGE_BYTES;
      const from = Math.max(0, pa - start) >>> this.#entryShift;
      const to = (Math.min(PAGE_BYTES, pa + byteLength - start) - 1) >>> this.#entryShift;
      for (let slot = from; slot <= to; slot++) {
        this.#marks.add(vcpu, start + slot * entryBytes);
        if (announceWrite(firstNode, slot)) monitored = true;
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
    for (const first of this.#nodes.firsts()) {
      for (let node: TableNode | null = first; node !== null; node = node.nextInFrame) {
        for (let position = node.firstFrom(0); position >= 0; position = node.nextAfter(position)) {
          entries.push(node.entryPa(node.frame!.gfn, position, this.paging.mode.entryBytes));
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
    const space = this.#findSpace(address);
    const { page, offset } = locate(this.paging, address.va);
    return space && stateOf(this.paging, space, page, offset);
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

  #findSpace(address: Address): AddressSpace | undefined {
    return this.#spaces.find(checkView(address.view), rootOf(this.paging, address.root));
  }
}
