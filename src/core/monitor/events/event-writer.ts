/** Makes the events of one batch: from two mappings of one address to what a user reads (rules E3 to E6, R2). */
import { PAGE_BYTES, paOf } from '../../address/pa.ts';
import type { Pa } from '../../address/types.ts';
import { vaOf } from '../../address/va.ts';
import { type Paging, unfoldVpn } from '../../paging/format.ts';
import { rightsOf } from '../../paging/rights.ts';
import type { AddressSpace } from '../tables/address-space.ts';
import type { CauseNote } from './cause-note.ts';
import type { Piece } from '../tables/range-set.ts';
import type { Cause, MonitorEvent, OptInKind, PageEvent, Tag } from '../events.ts';
import { type Mapping, UNBACKED } from '../tables/mapping.ts';
import { type Holder, tagsOf } from '../tables/page-watches.ts';

type Because = Pick<CauseNote, 'cause'> | null;

/** A page event that the next page may still join. */
interface Run {
  readonly event: PageEvent & { pages: number };
  /** Where the event stands among those of the batch. */
  readonly index: number;
  nextVpn: number;
  nextGfn: number;
}

/** Never written to. */
const NOTHING_SAID: MonitorEvent[] = [];

export class EventWriter {
  readonly #paging: Paging;
  /** Bytes, by level. */
  readonly #pageSizes: readonly number[];
  /** Whether rights must be known to say everything that was asked for. */
  readonly saysRights: boolean;
  readonly #saysSizes: boolean;
  readonly #saysGone: boolean;
  #vcpu: number | null = null;
  /** The events so far; whatever was there before, while there are none. */
  #events = NOTHING_SAID;
  #count = 0;
  // The run that each piece's next page may join. Tables that roots share make runs in several pieces at once.
  readonly #outRuns = new Map<Piece, Run>();
  readonly #inRuns = new Map<Piece, Run>();

  constructor(paging: Paging, kinds: ReadonlySet<OptInKind>) {
    this.#paging = paging;
    this.#pageSizes = paging.byLevel.map(({ slotPages }) => slotPages * PAGE_BYTES);
    this.saysRights = kinds.has('protection');
    this.#saysSizes = kinds.has('restructure');
    this.#saysGone = kinds.has('root-gone');
  }

  begin(vcpu: number | null): void {
    this.#vcpu = vcpu;
    this.#count = 0;
  }

  /** Everything said since `begin`, in order; the next `begin` leaves it alone. */
  take(): MonitorEvent[] {
    const events = this.#count === 0 ? [] : this.#events;
    this.#events = NOTHING_SAID;
    if (this.#outRuns.size > 0) this.#outRuns.clear();
    if (this.#inRuns.size > 0) this.#inRuns.clear();
    return events;
  }

  /** Most batches have one, and a list that begins with it is 100 bytes shorter than an empty one. */
  #say(event: MonitorEvent): void {
    if (this.#count === 0) this.#events = [event];
    else this.#events.push(event);
    this.#count++;
  }

  /** One address led to `before`, as far as anybody was told, and leads to `after`. */
  difference(
    space: AddressSpace,
    page: number,
    offset: number,
    holder: Holder | null,
    piece: Piece | undefined,
    before: Mapping,
    after: Mapping,
    because: Because,
  ): void {
    if (before.gfn !== after.gfn) {
      if (holder === null && piece?.runs === true) return this.#runs(space, page, piece, before, after, because);
      if (before.gfn !== UNBACKED) {
        this.#sayPage('page-out', space, page, offset, holder, piece, before, because);
      }
      if (after.gfn !== UNBACKED) {
        this.#sayPage('page-in', space, page, offset, holder, piece, after, because);
      }
      return;
    }
    if (after.gfn === UNBACKED) return;
    if (before.level !== after.level && this.#saysSizes) {
      const oldPageSize = this.#pageSizes[before.level]!;
      const pageSize = this.#pageSizes[after.level]!;
      const base = this.#base(space, page, offset, holder, piece, because);
      this.#say({ kind: 'restructure', ...base, pa: paOf(after.gfn, offset), oldPageSize, pageSize });
    }
    if (before.rights !== after.rights && this.saysRights) {
      const rights = { oldRights: rightsOf(before.rights), newRights: rightsOf(after.rights) };
      const base = this.#base(space, page, offset, holder, piece, because);
      const pa = paOf(after.gfn, offset);
      this.#say({ kind: 'protection', ...base, pa, pageSize: this.#pageSizes[after.level]!, ...rights });
    }
  }

  /** Every watched address of a space is released because its root is gone; a range says so once. */
  rootGone(space: AddressSpace): void {
    if (!this.#saysGone) return;
    for (const { page, pages, offset, holder, piece } of space.watched()) {
      this.#say({ kind: 'root-gone', ...this.#base(space, page, offset, holder, piece, null), pages });
    }
  }

  /** A page event by itself. Spelled out, because spreading `#base` costs as much as all the rest (70 ns of 150). */
  pageEvent(
    kind: 'page-in' | 'page-out',
    space: AddressSpace,
    page: number,
    offset: number,
    holder: Holder | null,
    piece: Piece | undefined,
    gfn: number,
    level: number,
    vcpu: number | null,
    cause: Cause | null,
  ): PageEvent & { pages: number } {
    return {
      kind,
      view: space.view,
      root: space.root,
      va: vaOf(unfoldVpn(this.#paging, page), offset),
      pa: paOf(gfn, offset),
      pageSize: this.#pageSizes[level]!,
      pages: 1,
      tags: allTags(holder, piece),
      vcpu,
      cause,
    };
  }

  #sayPage(
    kind: 'page-in' | 'page-out',
    space: AddressSpace,
    page: number,
    offset: number,
    holder: Holder | null,
    piece: Piece | undefined,
    { gfn, level }: Mapping,
    because: Because,
  ): PageEvent & { pages: number } {
    const cause = because === null ? null : because.cause;
    const event = this.pageEvent(kind, space, page, offset, holder, piece, gfn, level, this.#vcpu, cause);
    this.#say(event);
    return event;
  }

  /** The same for a page whose neighbours may share its events. A page-in never joins a run that stands before its page-out. */
  #runs(space: AddressSpace, page: number, piece: Piece, before: Mapping, after: Mapping, because: Because): void {
    let outIndex = -1;
    if (before.gfn !== UNBACKED) {
      const run = this.#join('page-out', this.#outRuns, -1, space, page, piece, before, because);
      outIndex = run.index;
    }
    if (after.gfn !== UNBACKED) this.#join('page-in', this.#inRuns, outIndex, space, page, piece, after, because);
  }

  /** Joins the piece's last run, if that stands behind `afterIndex`, or begins one. */
  #join(
    kind: 'page-in' | 'page-out',
    runs: Map<Piece, Run>,
    afterIndex: number,
    space: AddressSpace,
    page: number,
    piece: Piece,
    mapping: Mapping,
    because: Because,
  ): Run {
    const vpn = unfoldVpn(this.#paging, page);
    const last = runs.get(piece);
    if (
      last !== undefined &&
      last.index > afterIndex &&
      last.nextVpn === vpn &&
      last.nextGfn === mapping.gfn &&
      last.event.pageSize === this.#pageSizes[mapping.level]!
    ) {
      last.event.pages++;
      last.nextVpn++;
      last.nextGfn++;
      return last;
    }
    const event = this.#sayPage(kind, space, page, 0, null, piece, mapping, because);
    const run = { event, index: this.#count - 1, nextVpn: vpn + 1, nextGfn: mapping.gfn + 1 };
    runs.set(piece, run);
    return run;
  }

  #base(
    space: AddressSpace,
    page: number,
    offset: number,
    holder: Holder | null,
    piece: Piece | undefined,
    because: Because,
  ): Base {
    return {
      view: space.view,
      root: space.root,
      va: vaOf(unfoldVpn(this.#paging, page), offset),
      tags: allTags(holder, piece),
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

/** All tags of an address that is watched singly, by a range, or both. A fresh array. */
export function allTags(holder: Holder | null, piece: Piece | undefined): Tag[] {
  if (holder === null) return piece === undefined ? [] : piece.references.tags();
  const tags = tagsOf(holder);
  if (piece !== undefined) {
    for (const tag of piece.references.tags()) if (!tags.includes(tag)) tags.push(tag);
  }
  return tags;
}
