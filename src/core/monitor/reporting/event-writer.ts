/** Writes the events of one batch: from two mappings of one address to what the caller reads (rules E3 to E6, R2). */
import { PAGE_BYTES, paOf } from '../../address/pa.ts';
import type { Pa } from '../../address/types.ts';
import { vaOf } from '../../address/va.ts';
import { type Paging, unfoldVpn } from '../../paging/format.ts';
import { rightsOf } from '../../paging/rights.ts';
import type { Cause, MonitorEvent, OptInKind, PageEvent, RootGoneEvent, Tag } from '../events.ts';
import { type Mapping, UNBACKED } from '../tables/mapping.ts';
import { tagsOf, Watch, type Watcher } from '../tables/page-watches.ts';
import type { Segment } from '../tables/range-set.ts';
import type { Space } from '../tables/table-node.ts';

/** A batch reports at most `maxRangePages` / 8 pages one by one (rule R2). */
const RANGE_PAGES_FOR_EVENT = 8;

/** The watched address that the next events are about. One object, reused from address to address. */
export interface Subject {
  space: Space;
  page: number;
  /** 1, or more where the pages of a large page that ranges watch by runs change alike. */
  pages: number;
  offset: number;
  /** Who watches it singly; null where nobody does. */
  watcher: Watcher | null;
  /** The ranges that include it. */
  segment: Segment | undefined;
}

/** Where an address led when it was last reported, where it leads now, and the entry whose change made the difference. */
export interface Difference {
  readonly before: Mapping;
  readonly after: Mapping;
  readonly because: { readonly cause: Cause } | null;
}

/** An event that the next page may still join. */
interface Run {
  readonly event: RunEvent;
  /** Where the event is among those of the batch. */
  readonly index: number;
  /** What the next page must have in common. */
  readonly level: number;
  readonly oldLevel: number;
  readonly rights: number;
  readonly oldRights: number;
  nextVpn: number;
  nextGfn: number;
}

type RunEvent = Exclude<MonitorEvent, RootGoneEvent> & { pages: number };
type RunKind = RunEvent['kind'];

type PageKind = PageEvent['kind'];

/** Never written to. */
const NO_EVENTS: MonitorEvent[] = [];

export class EventWriter {
  readonly #paging: Paging;
  /** Bytes, by level. */
  readonly #pageSizes: readonly number[];
  /** Whether the caller asked for events of rights: then rights must be known. */
  readonly writesRights: boolean;
  readonly #writesSizes: boolean;
  readonly #mostByPage: number;
  readonly #writesGone: boolean;
  #vcpu: number | null = null;
  /** The events since `begin`; not to be read while `#count` is 0. */
  #events = NO_EVENTS;
  #count = 0;
  // The run that each segment's next page may join. By segment, because a table that roots share changes pages of several address spaces in turn.
  readonly #runs: Readonly<Record<RunKind, Map<Segment, Run>>> = {
    'page-out': new Map(),
    'page-in': new Map(),
    restructure: new Map(),
    protection: new Map(),
  };
  #hasRuns = false;

  /**
   * @param maxRangePages after an eighth of it in events, a batch merges neighbouring pages into one event, also where a range asked for
   *   each page. One table of 1 GiB leaves is 2^27 pages: a guest must not fill the host's memory with events (rule C8)
   */
  constructor(paging: Paging, kinds: ReadonlySet<OptInKind>, maxRangePages: number) {
    this.#paging = paging;
    this.#mostByPage = maxRangePages / RANGE_PAGES_FOR_EVENT;
    this.#pageSizes = paging.byLevel.map(({ slotPages }) => slotPages * PAGE_BYTES);
    this.writesRights = kinds.has('protection');
    this.#writesSizes = kinds.has('restructure');
    this.#writesGone = kinds.has('root-gone');
  }

  begin(vcpu: number | null): void {
    this.#vcpu = vcpu;
    this.#count = 0;
  }

  /** The events since `begin`, in order. The array is the caller's. */
  take(): MonitorEvent[] {
    const events = this.#count === 0 ? [] : this.#events;
    this.#events = NO_EVENTS;
    if (this.#hasRuns) for (const runs of Object.values(this.#runs)) runs.clear();
    this.#hasRuns = false;
    return events;
  }

  /** Whether neighbouring pages of a segment are one event. */
  writesRuns(segment: Segment): boolean {
    return segment.runs || this.#count >= this.#mostByPage;
  }

  /** Most batches have one event, and an array that begins with it is 100 bytes shorter than an empty one that grows. */
  #write(event: MonitorEvent): void {
    if (this.#count === 0) this.#events = [event];
    else this.#events.push(event);
    this.#count++;
  }

  /** The events of one address that led to `before` and leads to `after`. */
  difference(subject: Subject, difference: Difference): void {
    const { before, after } = difference;
    if (before.gfn !== after.gfn) {
      let outIndex = -1;
      if (before.gfn !== UNBACKED) outIndex = this.#writeOrJoin('page-out', subject, difference, -1);
      // A page-in never joins a run that is before its page-out.
      if (after.gfn !== UNBACKED) this.#writeOrJoin('page-in', subject, difference, outIndex);
      return;
    }
    if (after.gfn === UNBACKED) return;
    if (before.level !== after.level && this.#writesSizes) this.#writeOrJoin('restructure', subject, difference, -1);
    if (before.rights !== after.rights && this.writesRights) this.#writeOrJoin('protection', subject, difference, -1);
  }

  /** An address, or a whole segment of ranges, is released because its root is gone. */
  rootGone(subject: Subject): void {
    if (this.#writesGone) this.#write({ kind: 'root-gone', ...this.#base(subject, null), pages: subject.pages });
  }

  /**
   * Writes an event, or lets the page join the last run of its segment, if that is after the event at `afterIndex`. Returns the index
   * of the event.
   */
  #writeOrJoin(kind: RunKind, subject: Subject, difference: Difference, afterIndex: number): number {
    const { watcher, segment, pages } = subject;
    if (watcher !== null || segment === undefined || !this.writesRuns(segment)) {
      this.#write(this.#event(kind, subject, difference));
      return this.#count - 1;
    }
    const { before, after } = difference;
    const { gfn, level } = kind === 'page-out' ? before : after;
    const vpn = unfoldVpn(this.#paging, subject.page);
    const last = this.#runs[kind].get(segment);
    if (
      last !== undefined &&
      last.index > afterIndex &&
      last.nextVpn === vpn &&
      last.nextGfn === gfn &&
      last.level === level &&
      (kind !== 'restructure' || last.oldLevel === before.level) &&
      (kind !== 'protection' || (last.rights === after.rights && last.oldRights === before.rights))
    ) {
      last.event.pages += subject.pages;
      last.nextVpn += subject.pages;
      last.nextGfn += subject.pages;
      return last.index;
    }
    const event = this.#event(kind, subject, difference);
    this.#write(event);
    const index = this.#count - 1;
    const common = { level, oldLevel: before.level, rights: after.rights, oldRights: before.rights };
    this.#runs[kind].set(segment, { event, index, ...common, nextVpn: vpn + pages, nextGfn: gfn + pages });
    this.#hasRuns = true;
    return index;
  }

  #event(kind: RunKind, subject: Subject, difference: Difference): RunEvent {
    if (kind === 'page-out' || kind === 'page-in') return this.#pageEvent(kind, subject, difference);
    const { before, after, because } = difference;
    const pa = paOf(after.gfn, subject.offset);
    const pageSize = this.#pageSizes[after.level]!;
    const base = { ...this.#base(subject, because), pa, pageSize, pages: subject.pages };
    if (kind === 'restructure') return { kind, ...base, oldPageSize: this.#pageSizes[before.level]! };
    return { kind, ...base, oldRights: rightsOf(before.rights), newRights: rightsOf(after.rights) };
  }

  /** Spelled out, because spreading `#base` takes as long as all the rest. */
  #pageEvent(kind: PageKind, subject: Subject, difference: Difference): PageEvent & { pages: number } {
    const { space, page, pages, offset, watcher, segment } = subject;
    const { gfn, level } = kind === 'page-out' ? difference.before : difference.after;
    return {
      kind,
      view: space.view,
      root: space.root,
      va: vaOf(unfoldVpn(this.#paging, page), offset),
      pa: paOf(gfn, offset),
      pageSize: this.#pageSizes[level]!,
      pages,
      tags: allTags(watcher, segment),
      vcpu: this.#vcpu,
      cause: difference.because === null ? null : difference.because.cause,
    };
  }

  #base({ space, page, offset, watcher, segment }: Subject, because: Difference['because']): Base {
    return {
      view: space.view,
      root: space.root,
      va: vaOf(unfoldVpn(this.#paging, page), offset),
      tags: allTags(watcher, segment),
      vcpu: this.#vcpu,
      cause: because === null ? null : because.cause,
    };
  }
}

interface Base {
  readonly view: number;
  readonly root: Pa;
  readonly va: bigint;
  readonly tags: readonly Tag[];
  readonly vcpu: number | null;
  readonly cause: Cause | null;
}

/** All tags of an address that is watched singly, by ranges, or both, in the order in which they were given. A fresh array. */
export function allTags(watcher: Watcher | null, segment: Segment | undefined): Tag[] {
  if (segment === undefined) return watcher === null ? [] : tagsOf(watcher);
  if (watcher instanceof Watch) return watcher.tagsWith(segment.tags);
  const ofRanges = segment.tags.map(({ tag }) => tag);
  if (watcher === null) return ofRanges;
  // A tag in a record was given before those of the ranges (`page-watches`).
  return [...new Set([...tagsOf(watcher), ...ofRanges])];
}
