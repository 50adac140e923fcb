/** Counts and pictures of what a monitor holds. These look at everything, and are the only ones that do, beside `resync`. */
import { gfnOf, PAGE_BYTES, paOf } from '../address/pa.ts';
import type { Pa } from '../address/types.ts';
import { vaOf } from '../address/va.ts';
import { ENTRY_LEAF, kindOf, type Paging, unfoldVpn } from '../paging/format.ts';
import { rightsOf } from '../paging/rights.ts';
import { type AddressSpace, settlingKey } from './tables/address-space.ts';
import type { MonitorDump, WatchState } from './api.ts';
import type { Piece } from './tables/range-set.ts';
import type { DirtyMarks } from './batch/dirty-marks.ts';
import { allTags } from './events/event-writer.ts';
import { Mapping, translate, UNBACKED } from './tables/mapping.ts';
import { type Holder, referencesOf, watchesAt } from './tables/page-watches.ts';
import type { ProtectedTables } from './tables/protected-tables.ts';
import type { TableNode } from './tables/table-node.ts';

/** Distinct entries, however many walks pass through each. */
export function countEntries(tables: ProtectedTables): number {
  let count = 0;
  for (const first of tables.nodes.firsts()) count += slotsOf(first, () => true).length;
  return count;
}

/** Watched addresses of a space that are backed, as far as anybody was told. */
export function countPagedIn(space: AddressSpace): number {
  let count = countBacked(space.top);
  const now = new Mapping();
  for (const { page, reported } of space.unsettled.values()) {
    translate(space, page, now);
    if (now.gfn !== UNBACKED) count--;
    if (reported.gfn !== UNBACKED) count++;
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
  const { coverage } = node.space;
  const first = node.pageAt(position);
  let count = 0;
  if (node.isPageTable) {
    for (const { offset } of watchesAt(node, position)) if (offset > 0) count++;
    return node.space.isWatched(first, 0) ? count + 1 : count;
  }
  const child = node.childAt(position);
  if (child !== null) {
    for (let below = child.firstFrom(0); below >= 0; below = child.nextAfter(below))
      count += countAddresses(child, below);
    return count;
  }
  const last = first + node.format.slotPages - 1;
  for (const piece of coverage.overlapping(first, last)) {
    count += Math.min(last, piece.last) - Math.max(first, piece.first) + 1;
  }
  return count;
}

/** What is held true of one watched address; undefined when it is not watched. */
export function stateOf(paging: Paging, space: AddressSpace, page: number, offset: number): WatchState | undefined {
  const holder = space.findHolder(page, offset);
  const piece = offset === 0 ? space.coverage.find(page) : undefined;
  if (holder === null && piece === undefined) return undefined;
  let mapping = space.unsettled.get(settlingKey(page, offset))?.reported;
  if (mapping === undefined) {
    mapping = new Mapping();
    translate(space, page, mapping);
  }
  return describe(paging, space, page, offset, holder, piece, mapping);
}

function describe(
  paging: Paging,
  space: AddressSpace,
  page: number,
  offset: number,
  holder: Holder | null,
  piece: Piece | undefined,
  mapping: Mapping,
): WatchState {
  const backed = mapping.gfn !== UNBACKED;
  return {
    view: space.view,
    root: space.root,
    va: vaOf(unfoldVpn(paging, page), offset),
    pa: backed ? paOf(mapping.gfn, offset) : null,
    pageSize: backed ? paging.byLevel[mapping.level]!.slotPages * PAGE_BYTES : null,
    rights: backed ? rightsOf(mapping.rights) : null,
    tags: allTags(holder, piece),
    references: referencesOf(holder) + (piece?.references.count ?? 0),
  };
}

export function dump(
  paging: Paging,
  spaces: readonly AddressSpace[],
  tables: ProtectedTables,
  marks: DirtyMarks,
): MonitorDump {
  const ordered = spaces.toSorted((a, b) => a.view - b.view || a.root - b.root);
  return {
    mode: paging.mode.name,
    addresses: ordered.flatMap((space) =>
      [...space.watched()]
        .filter(({ holder }) => holder !== null)
        .map(({ page, offset }) => stateOf(paging, space, page, offset)!),
    ),
    ranges: ordered.flatMap((space) =>
      space.coverage.pieces.map((piece) => ({
        view: space.view,
        root: space.root,
        va: vaOf(unfoldVpn(paging, piece.first), 0),
        byteLength: BigInt(piece.last - piece.first + 1) * BigInt(PAGE_BYTES),
        tags: piece.references.tags(),
        references: piece.references.count,
      })),
    ),
    tables: [...tables.frames()]
      .flatMap((frame) => frame.guards.map((guard) => ({ frame, guard })))
      .toSorted((a, b) => a.guard.view - b.guard.view || a.frame.gfn - b.frame.gfn)
      .map(({ frame, guard }) => ({
        view: guard.view,
        pa: paOf(frame.gfn),
        capturedAccess: guard.captured,
        slots: slotsOf(tables.nodes.firstIn(frame.gfn), (node) => node.space.view === guard.view),
      })),
    marks: marks
      .vcpus()
      .map((vcpu) => ({
        vcpu,
        entries: marks
          .of(vcpu)
          .toArray()
          .filter((pa) => isHeld(tables, pa)) as Pa[],
      }))
      .filter((each) => each.entries.length > 0),
  };
}

function isHeld(tables: ProtectedTables, entryPa: number): boolean {
  return tables.nodes.firstIn(gfnOf(entryPa)) !== null;
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
