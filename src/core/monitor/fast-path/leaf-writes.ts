/**
 * The step of the mirror that nearly all writes take: entries of page tables were written, and nobody else has anything in
 * flight. The same two halves as `Update`'s (rule C9), without tables to stage and without lists of nodes: all entries are
 * read first, and what was read is then followed entry by entry. A flip takes half the time that it takes through `Update`
 * and `Report`, and a change of accessed or dirty bits a third.
 */
import { frameOffsetOf, gfnOf } from '../../address/pa.ts';
import type { Pa } from '../../address/types.ts';
import { u64Of } from '../../address/va.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_OK } from '../../memory/physical-memory.ts';
import { leafGfn, type LevelFormat, mapsPage, type Paging } from '../../paging/format.ts';
import type { NumberList } from '../../struct/number-list.ts';
import type { EventWriter } from '../events/event-writer.ts';
import type { Cause, MonitorEvent } from '../events.ts';
import type { NodesByFrame } from '../tables/rmap.ts';
import type { Holder } from '../tables/page-watches.ts';
import { Watch } from '../../struct/references.ts';
import type { Report } from '../events/report.ts';
import { RECORD_WORDS, type TableNode } from '../tables/table-node.ts';

/** Room that stays from batch to batch; a larger batch has its own. */
const KEPT_WORDS = 8192;

// A constant to the compiler, as an import is not (`address/pa.ts`).
const OK = READ_OK;

/** By whether there is a page now. */
const KINDS = ['page-out', 'page-in'] as const;

/** Bits of a leaf's low word that say nothing of where it leads, or with which rights, in any mode. */
const ACCESSED_DIRTY = 0x60;

export interface LeafUpdateParts {
  readonly memory: PhysicalMemory;
  readonly paging: Paging;
  readonly nodes: NodesByFrame;
  readonly report: Report;
  readonly writer: EventWriter;
}

type Events = MonitorEvent[] | null;

export class LeafUpdate {
  readonly #memory: PhysicalMemory;
  readonly #format: LevelFormat;
  readonly #entryBytes: 4 | 8;
  readonly #entryShift: number;
  readonly #nodes: NodesByFrame;
  readonly #report: Report;
  readonly #writer: EventWriter;
  readonly #entry = new Uint32Array(2);
  /**
   * Low and high word of each entry that `follow` has read. Words are signed in this file: bits are all that is looked at, and a
   * number above 2^31 is made an object at each call.
   */
  readonly #words = new Int32Array(KEPT_WORDS);
  /** Whether `Report` has begun to put into words what changes in this batch. */
  #reports = false;

  constructor({ memory, paging, nodes, report, writer }: LeafUpdateParts) {
    this.#memory = memory;
    this.#format = paging.byLevel[1]!;
    this.#entryBytes = paging.mode.entryBytes;
    this.#entryShift = Math.log2(paging.mode.entryBytes);
    this.#nodes = nodes;
    this.#report = report;
    this.#writer = writer;
  }

  /**
   * Follows these entries (physical addresses, some perhaps twice). Answers what it means, in a fresh array; null where one is
   * of a table that is no page table to everybody, or not fetched yet: then this is a matter for `Update`, and nothing has
   * happened.
   *
   * @throws what the source throws; nothing has happened
   */
  follow(entries: NumberList, vcpu: number): MonitorEvent[] | null {
    // A source that is asked for memory may report more: that is for the next call.
    const { length } = entries;
    const words = 2 * length <= KEPT_WORDS ? this.#words : new Int32Array(2 * length);
    for (let index = 0; index < length; index++) {
      const entryPa = entries.at(index);
      const first = this.#nodes.firstIn(gfnOf(entryPa));
      if (first === null) continue;
      if (first.plainCount === 0 && !isPageTable(first)) return null;
      if (!this.#read(entryPa)) return null;
      words[2 * index] = this.#entry[0]!;
      words[2 * index + 1] = this.#entry[1]!;
    }
    let events: Events = null;
    for (let index = 0; index < length; index++) {
      const entryPa = entries.at(index);
      const first = this.#nodes.firstIn(gfnOf(entryPa));
      if (first !== null) events = this.#become(first, entryPa, words[2 * index]!, words[2 * index + 1]!, vcpu, events);
    }
    return this.#end(events);
  }

  /** The same for one entry. Most are of a plain table, and change accessed or dirty bits alone: no node but its first line is looked at. */
  followOne(entryPa: number, vcpu: number): MonitorEvent[] | null {
    const first = this.#nodes.firstIn(gfnOf(entryPa));
    if (first === null) return [];
    if (first.plainCount === 0 && !isPageTable(first)) return null;
    if (!this.#read(entryPa)) return null;
    const lo = this.#entry[0]! | 0;
    const hi = this.#entry[1]! | 0;
    const position = first.findPlain(frameOffsetOf(entryPa) >>> this.#entryShift);
    if (position >= 0) {
      const { words } = first;
      const at = position * RECORD_WORDS;
      if (isSameLeaf(words[at]! | 0, words[at + 1]! | 0, lo, hi)) {
        words[at] = lo;
        return [];
      }
    }
    return this.#end(this.#become(first, entryPa, lo, hi, vcpu, null));
  }

  /** Reads an entry; one that is not in memory is 0. Answers whether it could. */
  #read(entryPa: number): boolean {
    const outcome = this.#memory.readEntry(entryPa, this.#entryBytes, this.#entry);
    if (outcome === OK) return true;
    this.#entry.fill(0);
    return outcome === READ_NO_MEMORY;
  }

  #end(events: Events): MonitorEvent[] {
    if (!this.#reports) return events ?? [];
    this.#reports = false;
    return [...(events ?? []), ...this.#report.end()];
  }

  /** One entry, at every node that it serves. */
  #become(first: TableNode, entryPa: number, lo: number, hi: number, vcpu: number, said: Events): Events {
    const slot = frameOffsetOf(entryPa) >>> this.#entryShift;
    for (let node: TableNode | null = first; node !== null; node = node.nextInFrame) {
      const position = node.find(slot - node.firstSlot);
      if (position < 0) continue;
      const { words } = node;
      const at = position * node.stride;
      const oldLo = words[at]! | 0;
      const oldHi = words[at + 1]! | 0;
      if (!isSameLeaf(oldLo, oldHi, lo, hi)) {
        if (this.#mustReport(node, vcpu)) this.#report.entryChanges(node, position, lo, hi);
        else said = this.#changes(node, position, entryPa, oldLo, oldHi, lo, hi, vcpu, said);
      }
      words[at] = lo;
      words[at + 1] = hi;
    }
    return said;
  }

  /** An entry has become (`lo`, `hi`): the same as `Report` would say, where single watches are all that there is. */
  #changes(
    node: TableNode,
    position: number,
    entryPa: number,
    oldLo: number,
    oldHi: number,
    lo: number,
    hi: number,
    vcpu: number,
    said: Events,
  ): Events {
    const was = mapsPage(this.#format, oldLo, oldHi);
    const is = mapsPage(this.#format, lo, hi);
    // The page that is there, or was; a page-out of another one may come before it.
    const mask = -is;
    const gfn = leafGfn(this.#format, (lo & mask) | (oldLo & ~mask), (hi & mask) | (oldHi & ~mask));
    let other = gfn;
    if (was === is) {
      if (was === 1) other = leafGfn(this.#format, oldLo, oldHi);
      if (other === gfn) return said;
    }
    const cause = { entryPa: entryPa as Pa, level: 1, oldValue: u64Of(oldLo, oldHi), newValue: u64Of(lo, hi) };
    const page = node.pageAt(position);
    let holder = node.watchedAt(position);
    while (holder !== null) {
      const offset = holder instanceof Watch ? holder.offset : node.offsetAt(position);
      if (other !== gfn) {
        said = append(said, this.#pageEvent('page-out', node, page, offset, holder, other, vcpu, cause));
      }
      said = append(said, this.#pageEvent(KINDS[is]!, node, page, offset, holder, gfn, vcpu, cause));
      holder = holder instanceof Watch ? holder.next : null;
    }
    return said;
  }

  #pageEvent(
    kind: 'page-in' | 'page-out',
    { space }: TableNode,
    page: number,
    offset: number,
    holder: Holder,
    gfn: number,
    vcpu: number,
    cause: Cause,
  ): MonitorEvent {
    return this.#writer.pageEvent(kind, space, page, offset, holder, undefined, gfn, 1, vcpu, cause);
  }

  /**
   * Whether `Report` puts it into words: where rights are said, and from the first change on in a space with ranges, which may
   * be told in runs.
   */
  #mustReport(node: TableNode, vcpu: number): boolean {
    if (this.#reports) return true;
    if (node.space.coverage.isEmpty && !this.#writer.saysRights) return false;
    this.#report.begin(vcpu, null);
    this.#reports = true;
    return true;
  }
}

/** Whether a frame is a page table to everybody. */
function isPageTable(first: TableNode): boolean {
  for (let node: TableNode | null = first; node !== null; node = node.nextInFrame) {
    if (!node.isPageTable) return false;
  }
  return true;
}

/** Whether an entry leads where it led, with the same rights. */
function isSameLeaf(oldLo: number, oldHi: number, lo: number, hi: number): boolean {
  return hi === oldHi && ((lo ^ oldLo) & ~ACCESSED_DIRTY) === 0;
}

/** Most batches have one event, and a list that begins with it is 100 bytes shorter than one that was empty. */
function append(events: Events, event: MonitorEvent): MonitorEvent[] {
  if (events === null) return [event];
  events.push(event);
  return events;
}
