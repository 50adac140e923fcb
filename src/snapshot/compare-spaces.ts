/**
 * What two address spaces have each that the other has not, in the words of events: what `a` maps is what was, and what `b` maps is what
 * is. Bits that do not change the backing (accessed, dirty, …) make no difference (rule E4).
 */
import { PAGE_BYTES, paOf } from '../core/address/pa.ts';
import type { Pa, Va } from '../core/address/types.ts';
import { vaOf } from '../core/address/va.ts';
import { goesOn, type Piece } from '../core/paging/pieces.ts';
import { type Rights, rightsOf } from '../core/paging/rights.ts';
import { Pacer } from '../driver/pacer.ts';
import type { Snapshot } from '../driver/snapshot.ts';
import type { AddressSpace } from './address-space.ts';
import { GapCursor, GapTotals } from './gap-totals.ts';
import { PieceCursor } from './piece-cursor.ts';
import { type SpaceOptions, spacePieces } from './space-pieces.ts';

interface DifferenceBase {
  readonly va: Va;
  /** 4 KiB pages from `va` on. */
  readonly pages: number;
  /** Physical address behind `va`: of a page-out the one that was, of all others the one that is. */
  readonly pa: Pa;
  /** Runs of physical memory behind these pages. */
  readonly runs: number;
  /** Bytes that each leaf maps. */
  readonly pageSize: number;
  readonly rights: Rights;
}

/** The pages gained or lost the physical memory behind them. */
export interface BackingDifference extends DifferenceBase {
  readonly kind: 'page-in' | 'page-out';
  /** Whether they had other memory before, or have now: a page-out and a page-in of the same pages follow each other. */
  readonly moved: boolean;
}

/** The same memory, in leaves of another size. */
export interface SizeDifference extends DifferenceBase {
  readonly kind: 'restructure';
  readonly oldPageSize: number;
}

/** The same memory, with other rights. */
export interface RightsDifference extends DifferenceBase {
  readonly kind: 'protection';
  readonly oldRights: Rights;
}

export type Difference = BackingDifference | SizeDifference | RightsDifference;

export interface ComparedSpace {
  readonly snapshot: Snapshot;
  readonly space: AddressSpace;
}

export interface CompareOptions extends SpaceOptions {
  /**
   * Defaults to `changes`: pages that follow each other and changed alike are one difference. `runs`: so long as their physical memory
   * follows each other, too. `pages`: each page for itself.
   */
  readonly by?: 'changes' | 'runs' | 'pages';
  /** What could not be looked at in the first; `gaps` receives it of the second. */
  readonly gapsBefore?: GapTotals;
}

/** How a stretch of addresses is mapped in one of the two. */
interface Side {
  readonly first: Piece;
  readonly last: Piece;
  readonly runs: number;
}

/** A stretch of addresses that is not mapped alike in both; a side is undefined where it is not mapped. */
interface Stretch {
  readonly vpn: number;
  readonly pages: number;
  readonly before: Side | undefined;
  readonly after: Side | undefined;
}

/** The differences, ascending. @throws PtmonError as `spacePieces`, for either */
export async function* compareSpaces(
  a: ComparedSpace,
  b: ComparedSpace,
  options: CompareOptions = {},
): AsyncGenerator<Difference, void, undefined> {
  const { by = 'changes' } = options;
  const pacer = new Pacer(options);
  let done = 0;
  let pending: Stretch | undefined;
  for await (const stretch of stretches(a, b, options)) {
    for (const part of by === 'pages' ? eachPage(stretch) : [stretch]) {
      // A stretch may be of more pages than anybody waits for.
      done += part.pages;
      if (pacer.isDue) await pacer.turn({ what: 'comparing', done, unit: 'pages' });
      const both: Stretch | undefined = pending && by !== 'pages' ? joined(pending, part, by) : undefined;
      if (both === undefined && pending !== undefined) yield* differencesOf(pending);
      pending = both ?? part;
    }
  }
  if (pending !== undefined) yield* differencesOf(pending);
}

/** The stretches in which the two are not alike. */
async function* stretches(
  a: ComparedSpace,
  b: ComparedSpace,
  options: CompareOptions,
): AsyncGenerator<Stretch, void, undefined> {
  const { gaps: gapsAfter = new GapTotals(), gapsBefore = new GapTotals(), ...rest } = options;
  const cursor = ({ snapshot, space }: ComparedSpace, gaps: GapTotals) =>
    new PieceCursor(spacePieces(snapshot, space, { ...rest, gaps }));
  const [left, right] = [cursor(a, gapsBefore), cursor(b, gapsAfter)];
  const [unknownBefore, unknownAfter] = [new GapCursor(gapsBefore), new GapCursor(gapsAfter)];
  try {
    for (;;) {
      if (left.isEmpty) await left.fill();
      if (right.isEmpty) await right.fill();
      const [one, other] = [left.current, right.current];
      if (one === undefined && other === undefined) return;
      const vpn = Math.min(one?.vpn ?? Infinity, other?.vpn ?? Infinity);
      const before = one?.vpn === vpn ? one : undefined;
      const after = other?.vpn === vpn ? other : undefined;
      const pages = Math.min(endOf(before), endOf(after), startOf(one, vpn), startOf(other, vpn)) - vpn;
      const alike =
        before !== undefined && after !== undefined ? pagesAlike(before, after, pages) : { count: pages, same: false };
      if (!alike.same || before?.rights !== after?.rights || before?.slotPages !== after?.slotPages) {
        // Where one has no table, it is unknown whether it maps what the other does.
        const unknown = before === undefined ? unknownBefore : after === undefined ? unknownAfter : undefined;
        for (const [from, count] of unknown?.without(vpn, alike.count) ?? [[0, alike.count] as const]) {
          yield {
            vpn: vpn + from,
            pages: count,
            before: sideOf(before, from, count),
            after: sideOf(after, from, count),
          };
        }
      }
      if (before !== undefined) left.drop(alike.count);
      if (after !== undefined) right.drop(alike.count);
    }
  } finally {
    await Promise.all([left.close(), right.close()]);
  }
}

/** Of how many pages from the first on it is the same: that both lead to one frame, or that they do not. */
function pagesAlike(before: Piece, after: Piece, pages: number): { readonly count: number; readonly same: boolean } {
  const same = before.gfn === after.gfn;
  if (before.step === after.step) return { count: pages, same };
  // One goes on from frame to frame and the other stays: they meet in one page at most.
  if (same) return { count: 1, same };
  const meeting = before.step === 1 ? after.gfn - before.gfn : before.gfn - after.gfn;
  return { count: meeting > 0 && meeting < pages ? meeting : pages, same };
}

function endOf(piece: Piece | undefined): number {
  return piece === undefined ? Infinity : piece.vpn + piece.pages;
}

/** Where a piece begins that lies behind. */
function startOf(piece: Piece | undefined, vpn: number): number {
  return piece === undefined || piece.vpn === vpn ? Infinity : piece.vpn;
}

/** Some pages of a piece. */
function sideOf(piece: Piece | undefined, from: number, pages: number): Side | undefined {
  if (piece === undefined) return undefined;
  const part = { ...piece, vpn: piece.vpn + from, gfn: piece.gfn + piece.step * from, pages };
  return { first: part, last: part, runs: 1 };
}

function* eachPage({ vpn, pages, before, after }: Stretch): Generator<Stretch, void, undefined> {
  for (let page = 0; page < pages; page++) {
    yield { vpn: vpn + page, pages: 1, before: sideOf(before?.first, page, 1), after: sideOf(after?.first, page, 1) };
  }
}

/** One stretch of two that follow each other and changed alike; undefined where they did not. */
function joined(stretch: Stretch, next: Stretch, by: 'changes' | 'runs'): Stretch | undefined {
  const { before, after } = stretch;
  if (next.vpn !== stretch.vpn + stretch.pages || isMoved(stretch) !== isMoved(next)) return undefined;
  if (!isLike(before, next.before, by) || !isLike(after, next.after, by)) return undefined;
  return {
    vpn: stretch.vpn,
    pages: stretch.pages + next.pages,
    before: before && joinedSides(before, next.before!),
    after: after && joinedSides(after, next.after!),
  };
}

function isLike(side: Side | undefined, next: Side | undefined, by: 'changes' | 'runs'): boolean {
  if (side === undefined || next === undefined) return side === next;
  const [{ last }, { first }] = [side, next];
  return (
    last.rights === first.rights && last.slotPages === first.slotPages && (by === 'changes' || goesOn(last, first))
  );
}

function joinedSides(side: Side, next: Side): Side {
  return { first: side.first, last: next.last, runs: side.runs + next.runs - (goesOn(side.last, next.first) ? 1 : 0) };
}

/** Whether both have the addresses, with other memory. */
function isMoved({ before, after }: Stretch): boolean {
  return before !== undefined && after !== undefined && before.first.gfn !== after.first.gfn;
}

/** A page-out comes before the page-in of the same pages (rule E3). */
function* differencesOf(stretch: Stretch): Generator<Difference, void, undefined> {
  const { before, after } = stretch;
  const moved = isMoved(stretch);
  if (before !== undefined && (after === undefined || moved))
    yield { kind: 'page-out', ...baseOf(stretch, before), moved };
  if (after === undefined) return;
  const base = baseOf(stretch, after);
  if (before === undefined || moved) yield { kind: 'page-in', ...base, moved };
  else {
    const [{ first: was }, { first: is }] = [before, after];
    if (was.slotPages !== is.slotPages) yield { kind: 'restructure', ...base, oldPageSize: was.slotPages * PAGE_BYTES };
    if (was.rights !== is.rights) yield { kind: 'protection', ...base, oldRights: rightsOf(was.rights) };
  }
}

function baseOf({ vpn, pages }: Stretch, { first, runs }: Side): DifferenceBase {
  const { gfn, slotPages, rights } = first;
  return { va: vaOf(vpn, 0), pages, pa: paOf(gfn), runs, pageSize: slotPages * PAGE_BYTES, rights: rightsOf(rights) };
}
