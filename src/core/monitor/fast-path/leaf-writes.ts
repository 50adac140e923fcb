/**
 * Fast path of `processDirtyEntries`, which nearly all writes take: the entries are of page tables, and no other vCPU has anything in
 * flight. The same two steps as a plan's (rule C9), without tables to stage and without lists of nodes: all entries are read
 * first, and each is then followed to its watched addresses. Ranges and rights are left to `Report`.
 *
 * For speed, functions here take more positional parameters than elsewhere. Words are signed in this file: only bits matter,
 * and a number above 2^31 would be boxed at each call.
 */
import { frameOffsetOf, gfnOf, PAGE_BYTES, paOf } from '../../address/pa.ts';
import type { Pa } from '../../address/types.ts';
import { u64Of, vaOf } from '../../address/va.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_OK } from '../../memory/physical-memory.ts';
import { leafGfn, type LevelFormat, mapsPage, type Paging, unfoldVpn } from '../../paging/format.ts';
import { NumberList } from '../../struct/number-list.ts';
import type { Cause, MonitorEvent } from '../events.ts';
import { tagsOf, Watch, type Watcher } from '../tables/page-watches.ts';
import type { ReverseMap } from '../tables/rmap.ts';
import { HIGH, LOW, RECORD_WORDS, type Space, type TableNode, WHO } from '../tables/table-node.ts';
import { findPlain, hasNumbersAsTags, isPlain } from './plain-tables.ts';

/** Words that are kept from batch to batch; a larger batch has its own. */
const KEPT_WORDS = 8192;

// A constant to the compiler, as an import is not (`address/pa.ts`).
const OK = READ_OK;

/** By whether a page is there now. */
const KINDS = ['page-out', 'page-in'] as const;

const PRESENT = 1;

/** Bits of a leaf's low word that change neither where it leads nor its rights, in any mode. */
const ACCESSED_DIRTY = 0x60;

/** What the fast path leaves to the general way: `Report`. */
interface Reporter {
  begin(vcpu: number, touched: null): void;
  entryChanges(node: TableNode, position: number, lo: number, hi: number): void;
  end(): MonitorEvent[];
}

export interface LeafWritesParts {
  readonly memory: PhysicalMemory;
  readonly paging: Paging;
  readonly rmap: ReverseMap;
  readonly report: Reporter;
  /** Whether rights that changed alone are reported. */
  readonly reportsRights: boolean;
}

type Events = MonitorEvent[] | null;

export class LeafWrites {
  readonly #memory: PhysicalMemory;
  readonly #paging: Paging;
  readonly #format: LevelFormat;
  readonly #entryBytes: 4 | 8;
  readonly #entryShift: number;
  readonly #rmap: ReverseMap;
  readonly #report: Reporter;
  readonly #reportsRights: boolean;
  readonly #entry = new Uint32Array(2);
  /** Low and high word of each entry that `follow` has read. */
  readonly #words = new Int32Array(KEPT_WORDS);
  /** The entries that these words are of: those that have changed. */
  readonly #changed = new NumberList();
  /** Whether `Report` has begun to report this batch. */
  #isReporting = false;

  constructor({ memory, paging, rmap, report, reportsRights }: LeafWritesParts) {
    this.#memory = memory;
    this.#paging = paging;
    this.#format = paging.byLevel[1]!;
    this.#entryBytes = paging.mode.entryBytes;
    this.#entryShift = Math.log2(paging.mode.entryBytes);
    this.#rmap = rmap;
    this.#report = report;
    this.#reportsRights = reportsRights;
  }

  /**
   * Follows these entries (physical addresses, some perhaps twice). Returns the events, in a fresh array. Null where an entry has
   * changed in a frame that is not only a page table, or is not fetched yet: then this takes the general way, and nothing has happened.
   *
   * @throws what the source throws; nothing has happened
   */
  follow(entries: NumberList, vcpu: number): Events {
    // A source that is asked for memory may add marks: those are for the next call.
    const { length } = entries;
    const words = 2 * length <= KEPT_WORDS ? this.#words : new Int32Array(2 * length);
    const changed = this.#changed;
    changed.dropFirst(changed.length);
    let gfn = -1;
    let first: TableNode | null = null;
    let mayFollow = true;
    for (let index = 0; index < length; index++) {
      const entryPa = entries.at(index);
      if (gfnOf(entryPa) !== gfn) {
        gfn = gfnOf(entryPa);
        first = this.#rmap.firstIn(gfn);
        mayFollow = first === null || isPlain(first) || isOnlyPageTable(first);
      }
      if (first === null) continue;
      if (!this.#read(entryPa)) return null;
      const lo = this.#entry[0]! | 0;
      const hi = this.#entry[1]! | 0;
      // A source that traps runs of entries marks many that were not written.
      if (this.#isKnown(first, entryPa, lo, hi)) continue;
      if (!mayFollow) return null;
      words[2 * changed.length] = lo;
      words[2 * changed.length + 1] = hi;
      changed.push(entryPa);
    }
    let events: Events = null;
    for (let index = 0; index < changed.length; index++) {
      const entryPa = changed.at(index);
      first = this.#rmap.firstIn(gfnOf(entryPa))!;
      const lo = words[2 * index]!;
      const hi = words[2 * index + 1]!;
      const position = this.#isReporting ? -1 : findPlain(first, frameOffsetOf(entryPa) >>> this.#entryShift);
      const event = position < 0 ? null : this.#flip(first, position, entryPa, lo, hi, vcpu);
      events = event === null ? this.#setInNodes(first, entryPa, lo, hi, vcpu, events) : append(events, event);
    }
    return this.#end(events);
  }

  /** Whether an entry is known to have this value, and to lead where it led. */
  #isKnown(first: TableNode, entryPa: number, lo: number, hi: number): boolean {
    const slot = frameOffsetOf(entryPa) >>> this.#entryShift;
    const plain = findPlain(first, slot);
    if (plain >= 0) {
      const { words } = first;
      return (words[plain * RECORD_WORDS + LOW]! | 0) === lo && (words[plain * RECORD_WORDS + HIGH]! | 0) === hi;
    }
    for (let node: TableNode | null = first; node !== null; node = node.nextInFrame) {
      const position = node.find(slot - node.firstSlot);
      if (position < 0) continue;
      const { words } = node;
      const at = position * node.stride;
      if ((words[at + LOW]! | 0) !== lo || (words[at + HIGH]! | 0) !== hi) return false;
      // A table that was not in memory may be there by now.
      if (!node.isPageTable && (lo & PRESENT) !== 0 && (node.childAt(position)?.frame ?? null) === null) return false;
    }
    return true;
  }

  /**
   * `follow` for one entry, as a function of its own, so that the compiler optimises the common case: a plain table, whose accessed and
   * dirty bits need no more than the node's first cache line, and whose present bit needs little more.
   */
  followOne(entryPa: number, vcpu: number): Events {
    const first = this.#rmap.firstIn(gfnOf(entryPa));
    if (first === null) return [];
    if (!isPlain(first) && !isOnlyPageTable(first)) return null;
    if (!this.#read(entryPa)) return null;
    const lo = this.#entry[0]! | 0;
    const hi = this.#entry[1]! | 0;
    const position = findPlain(first, frameOffsetOf(entryPa) >>> this.#entryShift);
    if (position >= 0) {
      const { words } = first;
      const at = position * RECORD_WORDS;
      if (isSameLeaf(words[at + LOW]! | 0, words[at + HIGH]! | 0, lo, hi)) {
        words[at + LOW] = lo;
        return [];
      }
      const event = this.#flip(first, position, entryPa, lo, hi, vcpu);
      if (event !== null) return [event];
    }
    return this.#end(this.#setInNodes(first, entryPa, lo, hi, vcpu, null));
  }

  /**
   * Sets an entry of a plain table to (`lo`, `hi`) if its page comes or goes by that, and returns the event. Null where the page does
   * neither, or where ranges or tags need more than the table: then nothing has happened, and `#setInNodes` does it.
   */
  #flip(node: TableNode, position: number, entryPa: number, lo: number, hi: number, vcpu: number): MonitorEvent | null {
    const { space, words } = node;
    if (!hasNumbersAsTags(node) || !space.ranges.isEmpty) return null;
    const at = position * RECORD_WORDS;
    const oldLo = words[at + LOW]! | 0;
    const oldHi = words[at + HIGH]! | 0;
    const is = mapsPage(this.#format, lo, hi);
    if (mapsPage(this.#format, oldLo, oldHi) === is) return null;
    const gfn = this.#gfnOfEither(is, oldLo, oldHi, lo, hi);
    const page = node.firstPage + node.plainBase + position;
    const cause = causeOf(entryPa, oldLo, oldHi, lo, hi);
    words[at + LOW] = lo;
    words[at + HIGH] = hi;
    return this.#pageEvent(KINDS[is]!, space, page, node.plainWhere & 0xfff, words[at + WHO]!, gfn, vcpu, cause);
  }

  /** The frame that is mapped now (`is` is 1), or was before. */
  #gfnOfEither(is: number, oldLo: number, oldHi: number, lo: number, hi: number): number {
    const mask = -is;
    return leafGfn(this.#format, (lo & mask) | (oldLo & ~mask), (hi & mask) | (oldHi & ~mask));
  }

  /** Reads an entry; one that is not in memory is 0. Returns whether it could. */
  #read(entryPa: number): boolean {
    const outcome = this.#memory.readEntry(entryPa, this.#entryBytes, this.#entry);
    if (outcome === OK) return true;
    this.#entry.fill(0);
    return outcome === READ_NO_MEMORY;
  }

  #end(events: Events): MonitorEvent[] {
    if (!this.#isReporting) return events ?? [];
    this.#isReporting = false;
    return [...(events ?? []), ...this.#report.end()];
  }

  /** Sets an entry to (`lo`, `hi`) in every node of its frame. Returns `events`, with those of this entry. */
  #setInNodes(first: TableNode, entryPa: number, lo: number, hi: number, vcpu: number, events: Events): Events {
    const slot = frameOffsetOf(entryPa) >>> this.#entryShift;
    for (let node: TableNode | null = first; node !== null; node = node.nextInFrame) {
      const position = node.find(slot - node.firstSlot);
      if (position < 0) continue;
      const { words } = node;
      const at = position * node.stride;
      const oldLo = words[at + LOW]! | 0;
      const oldHi = words[at + HIGH]! | 0;
      if (!isSameLeaf(oldLo, oldHi, lo, hi)) {
        if (this.#mustReport(node, vcpu)) this.#report.entryChanges(node, position, lo, hi);
        else events = this.#addEvents(node, position, entryPa, oldLo, oldHi, lo, hi, vcpu, events);
      }
      words[at + LOW] = lo;
      words[at + HIGH] = hi;
    }
    return events;
  }

  /** The events of one node's entry: what `Report` would report, where there are only single watches. */
  #addEvents(
    node: TableNode,
    position: number,
    entryPa: number,
    oldLo: number,
    oldHi: number,
    lo: number,
    hi: number,
    vcpu: number,
    events: Events,
  ): Events {
    const was = mapsPage(this.#format, oldLo, oldHi);
    const is = mapsPage(this.#format, lo, hi);
    const gfn = this.#gfnOfEither(is, oldLo, oldHi, lo, hi);
    // A page-out of another one may come before it.
    let other = gfn;
    if (was === is) {
      if (was === 1) other = leafGfn(this.#format, oldLo, oldHi);
      if (other === gfn) return events;
    }
    const cause = causeOf(entryPa, oldLo, oldHi, lo, hi);
    const page = node.pageAt(position);
    let watcher = node.watcherAt(position);
    while (watcher !== null) {
      const offset = watcher instanceof Watch ? watcher.offset : node.offsetAt(position);
      if (other !== gfn) {
        events = append(events, this.#pageEvent('page-out', node.space, page, offset, watcher, other, vcpu, cause));
      }
      events = append(events, this.#pageEvent(KINDS[is]!, node.space, page, offset, watcher, gfn, vcpu, cause));
      watcher = watcher instanceof Watch ? watcher.next : null;
    }
    return events;
  }

  #pageEvent(
    kind: 'page-in' | 'page-out',
    space: Space,
    page: number,
    offset: number,
    watcher: Watcher,
    gfn: number,
    vcpu: number,
    cause: Cause,
  ): MonitorEvent {
    return {
      kind,
      view: space.view,
      root: space.root,
      va: vaOf(unfoldVpn(this.#paging, page), offset),
      pa: paOf(gfn, offset),
      pageSize: PAGE_BYTES,
      pages: 1,
      tags: tagsOf(watcher),
      vcpu,
      cause,
    };
  }

  /**
   * Whether `Report` reports the change: where rights are reported, in a space with ranges, which may be reported in runs, and from
   * the first such change of a batch on.
   */
  #mustReport(node: TableNode, vcpu: number): boolean {
    if (this.#isReporting) return true;
    if (node.space.ranges.isEmpty && !this.#reportsRights) return false;
    this.#report.begin(vcpu, null);
    this.#isReporting = true;
    return true;
  }
}

function causeOf(entryPa: number, oldLo: number, oldHi: number, lo: number, hi: number): Cause {
  return { entryPa: entryPa as Pa, level: 1, oldValue: u64Of(oldLo, oldHi), newValue: u64Of(lo, hi) };
}

/** Whether a frame is a page table for all its nodes. */
function isOnlyPageTable(first: TableNode): boolean {
  for (let node: TableNode | null = first; node !== null; node = node.nextInFrame) {
    if (!node.isPageTable) return false;
  }
  return true;
}

/** Whether an entry leads where it led, with the same rights. */
function isSameLeaf(oldLo: number, oldHi: number, lo: number, hi: number): boolean {
  return hi === oldHi && ((lo ^ oldLo) & ~ACCESSED_DIRTY) === 0;
}

/** Most batches have one event, and an array that begins with it is 100 bytes shorter than an empty one that grows. */
function append(events: Events, event: MonitorEvent): MonitorEvent[] {
  if (events === null) return [event];
  events.push(event);
  return events;
}
