/** Writes the events of one batch: from two mappings of one address to what the caller reads (rules E3 to E6, R2). */
import { PAGE_BYTES, paOf } from '../../address/pa.ts';
import type { Pa } from '../../address/types.ts';
import { vaOf } from '../../address/va.ts';
import { type Paging, unfoldVpn } from '../../paging/format.ts';
import { rightsOf } from '../../paging/rights.ts';
import type { Cause, MonitorEvent, OptInKind, PageEvent, Tag } from '../events.ts';
import { type Mapping, UNBACKED } from '../tables/mapping.ts';
import { tagsOf, type Watcher } from '../tables/page-watches.ts';
import type { Segment } from '../tables/range-set.ts';
import type { Space } from '../tables/table-node.ts';

/** The watched address that the next events are about. One object, reused from address to address. */
export interface Subject {
  space: Space;
  page: number;
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

/** A page event that the next page may still join. */
interface Run {
  readonly event: PageEvent & { pages: number };
  /** Where the event is among those of the batch. */
  readonly index: number;
  nextVpn: number;
  nextGfn: number;
}

type PageKind = PageEvent['kind'];

/** Never written to. */
const NO_EVENTS: MonitorEvent[] = [];

export class EventWriter {
  readonly #paging: Paging;
  /** Bytes, by level. */
  readonly #pageSizes: readonly number[];
  /** Whether rights must be known to write everything that the caller asked for. */
  readonly writesRights: boolean;
  readonly #writesSizes: boolean;
  readonly #writesGone: boolean;
  #vcpu: number | null = null;
  /** The events since `begin`; any others while there are none. */
  #events = NO_EVENTS;
  #count = 0;
  // The run that each segment's next page may join. Tables that roots share make runs in several segments at once.
  readonly #runs: Readonly<Record<PageKind, Map<Segment, Run>>> = { 'page-out': new Map(), 'page-in': new Map() };

  constructor(paging: Paging, kinds: ReadonlySet<OptInKind>) {
    this.#paging = paging;
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
    for (const runs of [this.#runs['page-out'], this.#runs['page-in']]) if (runs.size > 0) runs.clear();
    return events;
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
      if (subject.watcher === null && subject.segment?.runs === true) return this.#joinRuns(subject, difference);
      if (before.gfn !== UNBACKED) this.#write(this.#pageEvent('page-out', subject, difference));
      if (after.gfn !== UNBACKED) this.#write(this.#pageEvent('page-in', subject, difference));
      return;
    }
    if (after.gfn === UNBACKED) return;
    const pa = paOf(after.gfn, subject.offset);
    const pageSize = this.#pageSizes[after.level]!;
    const { because } = difference;
    if (before.level !== after.level && this.#writesSizes) {
      const oldPageSize = this.#pageSizes[before.level]!;
      this.#write({ kind: 'restructure', ...this.#base(subject, because), pa, oldPageSize, pageSize });
    }
    if (before.rights !== after.rights && this.writesRights) {
      const rights = { oldRights: rightsOf(before.rights), newRights: rightsOf(after.rights) };
      this.#write({ kind: 'protection', ...this.#base(subject, because), pa, pageSize, ...rights });
    }
  }

  /** An address, or a whole segment of ranges, is released because its root is gone. */
  rootGone(subject: Subject, pages: number): void {
    if (this.#writesGone) this.#write({ kind: 'root-gone', ...this.#base(subject, null), pages });
  }

  /** Spelled out, because spreading `#base` takes as long as all the rest. */
  #pageEvent(kind: PageKind, subject: Subject, difference: Difference): PageEvent & { pages: number } {
    const { space, page, offset, watcher, segment } = subject;
    const { gfn, level } = kind === 'page-out' ? difference.before : difference.after;
    return {
      kind,
      view: space.view,
      root: space.root,
      va: vaOf(unfoldVpn(this.#paging, page), offset),
      pa: paOf(gfn, offset),
      pageSize: this.#pageSizes[level]!,
      pages: 1,
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

  /** The page events of an address whose neighbours may share them. A page-in never joins a run that is before its page-out. */
  #joinRuns(subject: Subject, difference: Difference): void {
    let outIndex = -1;
    if (difference.before.gfn !== UNBACKED) outIndex = this.#join('page-out', subject, difference, -1);
    if (difference.after.gfn !== UNBACKED) this.#join('page-in', subject, difference, outIndex);
  }

  /** Joins the segment's last run, if that is after the event at `afterIndex`, or begins one. Returns its index. */
  #join(kind: PageKind, subject: Subject, difference: Difference, afterIndex: number): number {
    const { gfn, level } = kind === 'page-out' ? difference.before : difference.after;
    const segment = subject.segment!;
    const vpn = unfoldVpn(this.#paging, subject.page);
    const last = this.#runs[kind].get(segment);
    if (
      last !== undefined &&
      last.index > afterIndex &&
      last.nextVpn === vpn &&
      last.nextGfn === gfn &&
      last.event.pageSize === this.#pageSizes[level]!
    ) {
      last.event.pages++;
      last.nextVpn++;
      last.nextGfn++;
      return last.index;
    }
    const event = this.#pageEvent(kind, subject, difference);
    this.#write(event);
    const index = this.#count - 1;
    this.#runs[kind].set(segment, { event, index, nextVpn: vpn + 1, nextGfn: gfn + 1 });
    return index;
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

/** All tags of an address that is watched singly, by a range, or both. A fresh array. */
export function allTags(watcher: Watcher | null, segment: Segment | undefined): Tag[] {
  if (watcher === null) return segment === undefined ? [] : segment.references.tags();
  const tags = tagsOf(watcher);
  if (segment !== undefined) {
    for (const tag of segment.references.tags()) if (!tags.includes(tag)) tags.push(tag);
  }
  return tags;
}
