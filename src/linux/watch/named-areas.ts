/** The areas of a process while it is watched: which of them are wanted, and what events in them are called. */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import type { Pa } from '../../core/address/types.ts';
import type { MonitorEvent, RootGoneEvent } from '../../core/monitor/events.ts';
import type { LinuxGuest } from '../linux-guest.ts';
import type { MemoryArea } from '../maps/memory-area.ts';
import { withMeanings } from './cause-words.ts';
import { isAround, type Range } from './ranges.ts';
import { isOfMap, type MapChoice, nameOf } from './selection.ts';

/** An event that may cover several pages, each the next of both address spaces. */
type RunEvent = Exclude<MonitorEvent, RootGoneEvent>;

/** The process that an event is about. */
export interface EventOwner {
  readonly pid: number;
  /** What /proc/PID/comm says: at most 15 bytes. */
  readonly comm: string;
}

/** An event of a process's memory. `map` is the name of the area (`heap`, a path, `anon`); absent where no area is known. */
export type ProcessEvent = MonitorEvent & EventOwner & { readonly map?: string };

/** Areas that went and whose names are kept, the last ones. */
const MAX_FORMER = 64;

const HEAP = '[heap]';

export class NamedAreas {
  readonly #linux: LinuxGuest;
  readonly #mm: bigint;
  readonly #choice: MapChoice | undefined;
  #areas: readonly MemoryArea[] = [];
  /** Areas that are there no more, the last ones first: Linux takes an area away before its pages. */
  #former: readonly MemoryArea[] = [];
  /** Pages that came to an area that is not wanted, in a place where one was or none. */
  readonly #strange = new Set<bigint>();

  /** @param mm address of the `mm_struct` */
  constructor(linux: LinuxGuest, mm: bigint, choice: MapChoice | undefined) {
    this.#linux = linux;
    this.#mm = mm;
    this.#choice = choice;
  }

  async read(): Promise<void> {
    const { areas } = await this.#linux.areasOf(this.#mm);
    const isThere = new Set(areas.map(keyOf));
    const gone = this.#areas.filter((area) => !isThere.has(keyOf(area)));
    this.#former = [...gone, ...this.#former].slice(0, MAX_FORMER);
    this.#areas = areas;
  }

  /** Areas that are not to be watched, as they were last read. */
  get unwanted(): readonly MemoryArea[] {
    return this.#areas.filter((area) => !this.#isWanted(area));
  }

  /** Areas that are to be watched, as they were last read. */
  get wanted(): readonly MemoryArea[] {
    return this.#areas.filter((area) => this.#isWanted(area));
  }

  /** A range is not watched any more. */
  forget(range: Range): void {
    for (const va of this.#strange) if (va >= range.start && va < range.end) this.#strange.delete(va);
  }

  /** With the names of the process and of the areas that it speaks for: an event of several areas becomes one for each. */
  async label(event: MonitorEvent, owner: EventOwner): Promise<readonly ProcessEvent[]> {
    const tag = `${owner.comm}[${owner.pid}]`;
    if (event.kind === 'root-gone') return [{ ...event, tags: [tag], ...owner }];
    if (isOfPresent(event) && !(await this.#isKnown(event.va))) await this.read();
    const parts = this.#split(event).flatMap((part) => this.#wantedOf(part));
    return parts.map((part) => {
      const area = this.#at(part.va);
      const name = this.#nameOf(part, area);
      const isAccessible = area && (area.rights.readable || area.rights.writable || area.rights.executable);
      return {
        ...withMeanings(this.#linux.entryFormat, part, { isAccessible }),
        tags: name === undefined ? [tag] : [tag, nameOf(name)],
        ...owner,
        ...(name !== undefined && { map: nameOf(name) }),
      };
    });
  }

  /**
   * Undefined where no area is known. brk(2) moves the end of the heap before it gives its pages back, and the rest of the area has no
   * name from then on: its pages go as pages of the heap.
   */
  #nameOf({ kind, va }: MonitorEvent, area: MemoryArea | undefined): string | undefined {
    const isIn = isAround(va);
    const wasHeap = kind === 'page-out' && !area?.name && this.#former.some((each) => each.name === HEAP && isIn(each));
    return wasHeap ? HEAP : (area ?? this.#former.find(isIn))?.name;
  }

  #isWanted(area: MemoryArea | undefined): boolean {
    return this.#choice === undefined || (area !== undefined && isOfMap(this.#choice, area));
  }

  /** What of an event is wanted: neither the coming nor the going of a page of another area is. */
  #wantedOf(event: RunEvent): RunEvent[] {
    if (event.kind === 'protection' || event.kind === 'restructure') return [event];
    const pages = Array.from({ length: event.pages }, (_, page) => event.va + BigInt(page * PAGE_BYTES));
    if (event.kind === 'page-in') {
      if (this.#isWanted(this.#at(event.va))) return [event];
      for (const va of pages) this.#strange.add(va);
      return [];
    }
    if (this.#strange.size === 0) return [event];
    return pages.filter((va) => !this.#strange.delete(va)).map((va) => partOf(event, va, 1));
  }

  /** At the bounds of areas. */
  #split(event: RunEvent): RunEvent[] {
    const parts: RunEvent[] = [];
    const last = event.va + BigInt(event.pages * PAGE_BYTES);
    for (let va = event.va; va < last; ) {
      const bound = this.#at(va)?.end ?? this.#areas.find(({ start }) => start > va)?.start ?? last;
      const end = bound < last ? bound : last;
      parts.push(partOf(event, va, Number((end - va) / BigInt(PAGE_BYTES))));
      va = end;
    }
    return parts;
  }

  /** Whether the area that `va` is in is still what was last read of it. */
  #isKnown(va: bigint): Promise<boolean> {
    const area = this.#at(va);
    return this.#linux.do(() => area !== undefined && this.#linux.areas.isCurrent(this.#mm, area));
  }

  #at(va: bigint): MemoryArea | undefined {
    return this.#areas.find(isAround(va));
  }
}

/** An area that has another name is another area. */
function keyOf({ at, start, end, name }: MemoryArea): string {
  return `${at} ${start} ${end} ${name}`;
}

/** What an event says of some of its pages. */
function partOf<E extends RunEvent>(event: E, va: bigint, pages: number): E {
  return { ...event, va, pages, pa: (event.pa + Number(va - event.va)) as Pa };
}

/** A page comes to an area that is there now, and is kept without access in one; it may be given back from one that is no longer there. */
function isOfPresent({ kind, cause }: MonitorEvent): boolean {
  return kind !== 'page-out' || (cause !== null && cause.newValue !== 0n);
}
