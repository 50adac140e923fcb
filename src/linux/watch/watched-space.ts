/** The memory of a process that is watched: its ranges, as its areas come and go, and what they are called. */
import type { PageEvent, MonitorEvent } from '../../core/monitor/events.ts';
import { PAGE_BYTES } from '../../core/address/pa.ts';
import type { Pa } from '../../core/address/types.ts';
import type { LinuxGuest } from '../linux-guest.ts';
import { PageCounter } from '../maps/area-pages.ts';
import type { MemoryArea } from '../maps/memory-area.ts';
import { attempt } from '../memory/guest-fault.ts';
import type { TaskBrief } from '../process/task-reader.ts';
import { withMeanings } from './cause-words.ts';
import { type Range, without } from './ranges.ts';
import { isOfMap, type MapChoice, nameOf } from './selection.ts';

/** Of a session, what watching a process takes. */
export interface WatchingSession {
  readonly monitor: {
    unmonitorRange(request: RangeRequest): boolean;
  };
  watchRange(request: RangeRequest & { readonly tag: string; readonly runs: boolean }): Promise<void>;
}

interface RangeRequest {
  readonly root: number;
  readonly va: bigint;
  readonly byteLength: bigint;
}

export class WatchedSpace {
  /** Physical address of the top-level table, the kernel's. */
  readonly root: number;
  /** Address of the `mm_struct`. */
  readonly mm: bigint;
  /** Of its processes, by their numbers: when they began. More than one where a process shares its memory (vfork). */
  readonly #owners = new Map<number, bigint>();
  #tag = '';
  readonly #linux: LinuxGuest;
  readonly #session: WatchingSession;
  readonly #choice: MapChoice | undefined;
  #ranges: Range[] = [];
  /** Of them, those in no area any more that had no page at the last look. */
  #empty: readonly Range[] = [];
  #areas: readonly MemoryArea[] = [];
  /** Pages that came within the ranges, but to an area that is not wanted. */
  readonly #strange = new Set<bigint>();
  /** Areas that were there before the present ones: their last pages may only just be going. */
  #former: readonly MemoryArea[] = [];

  constructor(
    { linux, session, choice }: { linux: LinuxGuest; session: WatchingSession; choice: MapChoice | undefined },
    root: number,
    owner: TaskBrief,
  ) {
    this.root = root;
    this.mm = owner.mm;
    this.add(owner);
    this.name(owner);
    this.#linux = linux;
    this.#session = session;
    this.#choice = choice;
  }

  /** The process that has it: `nginx[12]`. */
  get tag(): string {
    return this.#tag;
  }

  /** Another process has it, too. */
  add({ pid, startTime }: TaskBrief): void {
    this.#owners.set(pid, startTime);
  }

  /** Whether a process is one of those that were met with it. */
  isOf({ pid, startTime }: TaskBrief): boolean {
    return this.#owners.get(pid) === startTime;
  }

  /** The process has this name now. */
  name({ pid, command }: TaskBrief): void {
    this.#tag = `${command}[${pid}]`;
  }

  /** Watches all of it, or that part which is wanted as it is now. */
  async refresh(): Promise<void> {
    const choice = this.#choice;
    if (choice === undefined) return this.#watch(without([this.#lowerHalf()], this.#ranges));
    await this.#readAreas();
    const wanted = this.#areas.filter((area) => isOfMap(choice, area));
    await this.#watch(without(wanted.map(rangeOf), this.#ranges));
    await this.#releaseEmpty(without(this.#ranges, wanted));
  }

  /** An area goes before its pages do; and that the last of them has gone is said only after this look. */
  async #releaseEmpty(left: readonly Range[]): Promise<void> {
    const empty: Range[] = [];
    for (const range of left) if (await this.#isEmpty(range)) empty.push(range);
    const before = this.#empty;
    this.#empty = empty;
    for (const range of empty) if (without([range], before).length === 0) this.#release(range);
  }

  /** Watches nothing of it any more. */
  release(): void {
    for (const range of this.#ranges) this.#session.monitor.unmonitorRange(this.#request(range));
    this.#ranges = [];
  }

  /** With the names of the process and of the areas that it speaks for: an event of several areas becomes one for each. */
  async label(event: MonitorEvent): Promise<readonly MonitorEvent[]> {
    if (event.kind === 'root-gone') return [{ ...event, tags: [this.#tag] }];
    if (isOfPresent(event) && !(await this.#isKnown(event.va))) await this.#readAreas();
    const parts = 'pages' in event ? this.#split(event).flatMap((part) => this.#wantedOf(part)) : [event];
    return parts.map((part) => {
      const area = this.#areaAt(part.va);
      const name = area?.name ?? this.#formerName(part.va);
      const isAccessible = area && (area.rights.readable || area.rights.writable || area.rights.executable);
      return {
        ...withMeanings(this.#linux.types, part, { isAccessible }),
        tags: name === undefined ? [this.#tag] : [this.#tag, nameOf(name)],
      };
    });
  }

  /** What was at an address where no area is any more. */
  #formerName(va: bigint): string | undefined {
    return [...(this.#choice === undefined ? this.#former : this.#ranges)].find(isAround(va))?.name;
  }

  /**
   * What of an event is of the part that is wanted. Where samples are taken, a page of another area may be found in place of one that
   * went: neither its coming nor its going is anybody's business.
   */
  #wantedOf(event: PageEvent): PageEvent[] {
    const choice = this.#choice;
    if (choice === undefined) return [event];
    const pages = Array.from({ length: event.pages }, (_, page) => event.va + BigInt(page * PAGE_BYTES));
    if (event.kind === 'page-in') {
      const area = this.#areaAt(event.va);
      if (area !== undefined && isOfMap(choice, area)) return [event];
      for (const va of pages) this.#strange.add(va);
      return [];
    }
    if (this.#strange.size === 0) return [event];
    return pages
      .filter((va) => !this.#strange.delete(va))
      .map((va) => ({ ...event, va, pages: 1, pa: (event.pa + Number(va - event.va)) as Pa }));
  }

  /** Whether the area that `va` is in is still what was last read of it. */
  #isKnown(va: bigint): Promise<boolean> {
    const area = this.#areaAt(va);
    return this.#linux.do(() => area !== undefined && this.#linux.areas.isCurrent(this.mm, area));
  }

  #areaAt(va: bigint): MemoryArea | undefined {
    return this.#areas.find(isAround(va));
  }

  #split(event: PageEvent): PageEvent[] {
    const parts: PageEvent[] = [];
    const last = event.va + BigInt(event.pages * PAGE_BYTES);
    for (let va = event.va; va < last; ) {
      const end = this.#areaAt(va)?.end ?? this.#areas.find(({ start }) => start > va)?.start ?? last;
      const until = end < last ? end : last;
      const pages = Number((until - va) / BigInt(PAGE_BYTES));
      parts.push({ ...event, va, pages, pa: (event.pa + Number(va - event.va)) as Pa });
      va = until;
    }
    return parts;
  }

  async #readAreas(): Promise<void> {
    const { areas } = await this.#linux.areasOf(this.mm);
    this.#former = this.#areas;
    this.#areas = areas;
  }

  async #watch(ranges: readonly Range[]): Promise<void> {
    for (const range of ranges) {
      await this.#session.watchRange({ ...this.#request(range), tag: this.#tag, runs: true });
      this.#ranges.push(range);
    }
  }

  #release(range: Range): void {
    this.#session.monitor.unmonitorRange(this.#request(range));
    this.#ranges = without(this.#ranges, [range]);
  }

  async #isEmpty({ start, end }: Range): Promise<boolean> {
    const { paging, physical } = this.#linux.kernel.memory;
    const counter = new PageCounter(paging, physical, this.#linux.types);
    return this.#linux.do(() => attempt(() => counter.count(this.root, start, end))?.mapped === 0);
  }

  #request({ start, end }: Range): RangeRequest {
    return { root: this.root, va: start, byteLength: end - start };
  }

  #lowerHalf(): Range {
    return { name: '', start: 0n, end: BigInt(this.#linux.kernel.memory.paging.lowEnd) * BigInt(PAGE_BYTES) };
  }
}

function rangeOf({ start, end, name }: MemoryArea): Range {
  return { start, end, name };
}

function isAround(va: bigint): (place: { readonly start: bigint; readonly end: bigint }) => boolean {
  return ({ start, end }) => va >= start && va < end;
}

/** A page comes to an area that is there now, and is kept without access in one; it may be given back from one that is no longer there. */
function isOfPresent({ kind, cause }: MonitorEvent): boolean {
  return kind !== 'page-out' || (cause !== null && cause.newValue !== 0n);
}
