/** What callers may ask of a monitor: the state of an address, counts, and a dump. All but the state take time proportional to what is watched. */
import { gfnOf, PAGE_BYTES, paOf } from '../address/pa.ts';
import type { Pa } from '../address/types.ts';
import { vaOf } from '../address/va.ts';
import { ENTRY_LEAF, ENTRY_TABLE, kindOf, type Paging, unfoldVpn } from '../paging/format.ts';
import { rightsOf } from '../paging/rights.ts';
import type { MonitorDump, WatchState } from './api.ts';
import type { DirtyMarks } from './batch/dirty-marks.ts';
import { allTags } from './reporting/event-writer.ts';
import type { UnsettledAddresses } from './reporting/unsettled.ts';
import type { AddressSpace } from './tables/address-space.ts';
import type { AddressSpaces } from './tables/address-spaces.ts';
import { Mapping, UNBACKED } from './tables/mapping.ts';
import { referenceCount, watchersAt } from './tables/page-watches.ts';
import type { ProtectedTables } from './tables/protected-tables.ts';
import type { ReverseMap } from './tables/rmap.ts';
import type { TableNode } from './tables/table-node.ts';
import { translate } from './tables/translate.ts';

/** What a monitor consists of, as far as `inspect` reads it. */
export interface MonitorParts {
  readonly paging: Paging;
  readonly spaces: AddressSpaces;
  readonly unsettled: UnsettledAddresses;
  readonly tables: ProtectedTables;
  readonly rmap: ReverseMap;
  readonly marks: DirtyMarks;
}

/** Which entries: those of top-level tables, those of the others, or all. */
export interface EntrySelection {
  readonly levels?: 'all' | 'top' | 'below-top';
}

/** Physical addresses of the entries on watched walks; an entry that serves several nodes comes as often. */
export function entryAddresses({ rmap, paging }: MonitorParts, { levels = 'all' }: EntrySelection = {}): Float64Array {
  const { entryBytes } = paging.mode;
  let length = 0;
  for (const node of nodesAt(rmap, levels)) length += node.slotCount;
  const entries = new Float64Array(length);
  let at = 0;
  for (const node of nodesAt(rmap, levels)) {
    const { gfn } = node.frame!;
    if (node.isGapless) {
      // Nearly all tables of a range: there may be millions of entries.
      const first = node.entryPa(gfn, 0, entryBytes);
      for (let position = 0; position < node.slotCount; position++) entries[at++] = first + position * entryBytes;
      continue;
    }
    for (let position = node.firstFrom(0); position >= 0; position = node.nextAfter(position)) {
      entries[at++] = node.entryPa(gfn, position, entryBytes);
    }
  }
  return entries;
}

/** The nodes that frames back, frame by frame. */
function* nodesAt(rmap: ReverseMap, levels: NonNullable<EntrySelection['levels']>): Generator<TableNode> {
  for (const first of rmap.firsts()) {
    for (let node: TableNode | null = first; node !== null; node = node.nextInFrame) {
      if (levels === 'all' || (levels === 'top') === (node === node.space.top)) yield node;
    }
  }
}

/** Distinct entries, however many walks pass through each. */
export function countEntries({ rmap }: MonitorParts): number {
  let count = 0;
  for (const first of rmap.firsts()) count += slotsOf(first, () => true).length;
  return count;
}

/** Watched addresses that are backed, as last reported. */
export function countPagedIn({ spaces, unsettled }: MonitorParts): number {
  let count = 0;
  const now = new Mapping();
  for (const space of spaces.inView()) {
    count += countBacked(space.top);
    for (const { page, pages, reported } of unsettled.of(space)) {
      translate(space, page, now);
      if (now.gfn !== UNBACKED) count -= pages;
      if (reported.gfn !== UNBACKED) count += pages;
    }
  }
  return count;
}

function countBacked(node: TableNode): number {
  if (node.frame === null) return 0;
  const { format } = node;
  let count = 0;
  for (let position = node.firstFrom(0); position >= 0; position = node.nextAfter(position)) {
    const isLeaf = kindOf(format, node.lowAt(position), node.highAt(position)) === ENTRY_LEAF;
    const child = node.childAt(position);
    if (isLeaf) count += countAddresses(node, position);
    else if (child !== null) count += countBacked(child);
  }
  return count;
}

/** Watched addresses below a slot. */
function countAddresses(node: TableNode, position: number): number {
  const { ranges } = node.space;
  const first = node.pageAt(position);
  let count = 0;
  if (node.isPageTable) {
    for (const { offset } of watchersAt(node, position)) if (offset > 0) count++;
    return node.space.isWatched(first, 0) ? count + 1 : count;
  }
  const child = node.childAt(position);
  if (child !== null) {
    for (let below = child.firstFrom(0); below >= 0; below = child.nextAfter(below))
      count += countAddresses(child, below);
    return count;
  }
  const last = first + node.format.slotPages - 1;
  for (const segment of ranges.overlapping(first, last)) {
    count += Math.min(last, segment.last) - Math.max(first, segment.first) + 1;
  }
  return count;
}

/** The state of one byte of a page; undefined when it is not watched. */
export function stateOf(
  { paging, unsettled }: MonitorParts,
  space: AddressSpace,
  page: number,
  offset: number,
): WatchState | undefined {
  const watcher = space.findWatcher(page, offset);
  const segment = offset === 0 ? space.ranges.find(page) : undefined;
  if (watcher === null && segment === undefined) return undefined;
  let mapping = unsettled.reportedOf(space, page, offset);
  if (mapping === undefined) {
    mapping = new Mapping();
    translate(space, page, mapping);
  }
  const isBacked = mapping.gfn !== UNBACKED;
  return {
    view: space.view,
    root: space.root,
    va: vaOf(unfoldVpn(paging, page), offset),
    pa: isBacked ? paOf(mapping.gfn, offset) : null,
    pageSize: isBacked ? paging.byLevel[mapping.level]!.slotPages * PAGE_BYTES : null,
    rights: isBacked ? rightsOf(mapping.rights) : null,
    tags: allTags(watcher, segment),
    references: referenceCount(watcher) + (segment?.count ?? 0),
    ...(isBacked || !space.rangeLimit.isCut || !isCutAt(space.top, page) ? {} : { unknown: 'range-limit' }),
  };
}

/** Whether the walk of a page reaches an entry that is not followed. */
function isCutAt(top: TableNode, page: number): boolean {
  let node: TableNode | null = top;
  while (node !== null && node.frame !== null) {
    const position: number = node.positionOf(page);
    if (position < 0) return false;
    const isPointer = kindOf(node.format, node.lowAt(position), node.highAt(position)) === ENTRY_TABLE;
    if (!isPointer) return false;
    node = node.childAt(position);
  }
  return node !== top;
}

export function dump(parts: MonitorParts): MonitorDump {
  const { paging, tables, rmap, marks } = parts;
  const spaces = parts.spaces.inView().sort((a, b) => a.view - b.view || a.root - b.root);
  return {
    mode: paging.mode.name,
    addresses: spaces.flatMap((space) =>
      [...space.watched()]
        .filter(({ watcher }) => watcher !== null)
        .map(({ page, offset }) => stateOf(parts, space, page, offset)!),
    ),
    ranges: spaces.flatMap((space) =>
      space.ranges.segments.map((segment) => ({
        view: space.view,
        root: space.root,
        va: vaOf(unfoldVpn(paging, segment.first), 0),
        byteLength: BigInt(segment.last - segment.first + 1) * BigInt(PAGE_BYTES),
        tags: allTags(null, segment),
        references: segment.count,
      })),
    ),
    tables: [...tables.frames()]
      .flatMap((frame) => frame.guards().map((guard) => ({ frame, guard })))
      .sort((a, b) => a.guard.view - b.guard.view || a.frame.gfn - b.frame.gfn)
      .map(({ frame, guard }) => ({
        view: guard.view,
        pa: paOf(frame.gfn),
        capturedAccess: guard.captured,
        slots: slotsOf(rmap.firstIn(frame.gfn), (node) => node.space.view === guard.view),
      })),
    marks: marks
      .vcpus()
      .map((vcpu) => ({
        vcpu,
        entries: marks
          .of(vcpu)
          .toArray()
          .filter((entryPa) => rmap.firstIn(gfnOf(entryPa)) !== null) as Pa[],
      }))
      .filter((each) => each.entries.length > 0),
  };
}

/** The monitored slots of a frame, by the first node that it backs: ascending, each once. */
function slotsOf(first: TableNode | null, counts: (node: TableNode) => boolean): number[] {
  const slots = new Set<number>();
  for (let node = first; node !== null; node = node.nextInFrame) {
    if (!counts(node)) continue;
    for (let at = node.firstFrom(0); at >= 0; at = node.nextAfter(at)) slots.add(node.firstSlot + node.slotAt(at));
  }
  return [...slots].sort((a, b) => a - b);
}
