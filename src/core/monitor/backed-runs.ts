/** Which watched pages of a range are backed, and by what, as last reported: in as few runs as possible. */
import { PAGE_BYTES, paOf } from '../address/pa.ts';
import { vaOf } from '../address/va.ts';
import { ENTRY_LEAF, type Paging, unfoldVpn } from '../paging/format.ts';
import { RIGHTS_ALL } from '../paging/rights.ts';
import type { BackedRun } from './events.ts';
import type { Addresses, UnsettledAddresses } from './reporting/unsettled.ts';
import type { SpacePages } from './tables/address-space.ts';
import { Mapping, UNBACKED } from './tables/mapping.ts';
import { findWatcher } from './tables/page-watches.ts';
import type { TableNode } from './tables/table-node.ts';

/** Pages of one leaf, or some of them: neighbours in both address spaces. */
interface Piece {
  readonly page: number;
  pages: number;
  readonly gfn: number;
  readonly level: number;
}

/** Ascending. Of a page that is watched at several addresses, the first byte counts. */
export function backedRuns(paging: Paging, unsettled: UnsettledAddresses, range: SpacePages): BackedRun[] {
  const { space, first, last } = range;
  const pieces = reportedPieces([...piecesBelow(space.top, range)], unsettled, range);
  const runs: Piece[] = [];
  for (const piece of pieces) {
    const before = runs.at(-1);
    const continues =
      before !== undefined &&
      before.page + before.pages === piece.page &&
      before.gfn + before.pages === piece.gfn &&
      before.level === piece.level &&
      // The first page of the upper half follows the last one of the lower half in number only.
      piece.page !== paging.lowEnd;
    if (continues) before.pages += piece.pages;
    else if (piece.page >= first && piece.page <= last) runs.push({ ...piece });
  }
  return runs.map(({ page, pages, gfn, level }) => ({
    va: vaOf(unfoldVpn(paging, page), 0),
    pa: paOf(gfn),
    pageSize: paging.byLevel[level]!.slotPages * PAGE_BYTES,
    pages,
  }));
}

/** As the entries are now. */
function* piecesBelow(node: TableNode, range: SpacePages): Generator<Piece> {
  if (node.frame === null) return;
  const { format } = node;
  const { first, last } = range;
  const end = node.slotTowards(last);
  const mapping = new Mapping();
  for (let at = node.firstFrom(node.slotTowards(first)); at >= 0 && node.slotAt(at) <= end; at = node.nextAfter(at)) {
    const kind = mapping.setEntry(format, node.lowAt(at), node.highAt(at), RIGHTS_ALL);
    const child = node.isPageTable ? null : node.childAt(at);
    if (kind !== ENTRY_LEAF) {
      if (child !== null) yield* piecesBelow(child, range);
      continue;
    }
    const start = node.pageAt(at);
    const { gfn, level } = mapping;
    for (const { page, pages } of watchedParts(node, at, range)) yield { page, pages, gfn: gfn + page - start, level };
  }
}

/** What of a leaf is watched, ascending. */
function watchedParts(node: TableNode, position: number, { space, first, last }: SpacePages) {
  const start = Math.max(first, node.pageAt(position));
  const end = Math.min(last, node.pageAt(position) + node.format.slotPages - 1);
  const parts: { page: number; pages: number }[] = [];
  for (const segment of space.ranges.overlapping(start, end)) {
    const page = Math.max(start, segment.first);
    parts.push({ page, pages: Math.min(end, segment.last) - page + 1 });
  }
  for (const page of singlePages(node, position)) {
    if (page >= start && page <= end && space.ranges.find(page) === undefined) parts.push({ page, pages: 1 });
  }
  return parts.sort((a, b) => a.page - b.page);
}

/** The pages below a slot whose first byte is watched singly. */
function* singlePages(node: TableNode, position: number): Generator<number> {
  if (node.isPageTable) {
    if (findWatcher(node, position, 0) !== null) yield node.pageAt(position);
    return;
  }
  const child = node.childAt(position);
  if (child === null || child.watchCount === 0) return;
  for (let at = child.firstFrom(0); at >= 0; at = child.nextAfter(at)) yield* singlePages(child, at);
}

/** As they were last reported: while writes are in flight, some pages have moved without an event. */
function reportedPieces(pieces: Piece[], unsettled: UnsettledAddresses, { space, first, last }: SpacePages): Piece[] {
  if (!unsettled.hasAny(space)) return pieces;
  const moved = unsettled
    .of(space)
    .filter((each) => each.offset === 0 && each.page + each.pages > first && each.page <= last);
  const settled = partsBeside(pieces, moved);
  const reported = moved.flatMap(({ page, pages, reported: { gfn, level } }) => {
    const from = Math.max(page, first);
    const end = Math.min(page + pages - 1, last);
    return gfn === UNBACKED ? [] : [{ page: from, pages: end - from + 1, gfn: gfn + from - page, level }];
  });
  return [...settled, ...reported].sort((a, b) => a.page - b.page);
}

/** The parts of pieces that have not moved. Both lists ascend. */
function partsBeside(pieces: readonly Piece[], moved: readonly Addresses[]): Piece[] {
  const parts: Piece[] = [];
  let at = 0;
  for (const { page, pages, gfn, level } of pieces) {
    const end = page + pages;
    const add = (from: number, to: number) => {
      if (from < to) parts.push({ page: from, pages: to - from, gfn: gfn + from - page, level });
    };
    let next = page;
    for (; at < moved.length && moved[at]!.page < end; at++) {
      const movedEnd = moved[at]!.page + moved[at]!.pages;
      add(next, moved[at]!.page);
      next = Math.max(next, movedEnd);
      if (movedEnd > end) break;
    }
    add(next, end);
  }
  return parts;
}
