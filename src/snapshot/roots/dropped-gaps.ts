/**
 * Where the pieces of a raw file belong whose gaps were dropped (LiME's `format=raw`): tables are pages of the file, and their entries name
 * other tables by physical address. Of all distances between an address that is named and a page that is a table, the right one is found
 * more often than any other. What those that it explains leave over has another distance: the file has another piece.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { Pacer, type LongWorkOptions } from '../../driver/pacer.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import { pagePhase } from './page-phase.ts';
import { findLegacyLinks, type LegacyLinks } from './legacy-links.ts';
import { findTableLinks, type TableLinks } from './table-links.ts';

/** A piece of the file, and the physical address that it belongs to. */
export interface PlacedPiece {
  readonly pa: number;
  readonly byteLength: number;
  readonly position: number;
}

/** Distances between what entries name and where it lies: gaps below 4 GiB, and a header in front. */
const MAX_DISTANCE = 5 * 2 ** 30;
const MAX_HEADER = 2 ** 18;
const LOW_BYTES = 2 ** 20;
const LATER_BYTES = 2 ** 24;
/** Links that must agree, and how many times as many as agree on another distance. */
const LEAST_LINKS = 12;
const LEAST_LEGACY_LINKS = 2;
const CLEARLY = 1.5;
/** Pages around a distance whose distances are no rivals. */
const SHOULDER = 64;
const MAX_PIECES = 8;

/** A distance, and the addresses that agree on it. */
interface Shift {
  readonly distance: number;
  readonly first: number;
  readonly last: number;
  readonly links: number;
}

/**
 * The pieces of a file that holds no gaps, if its addresses are not its positions; undefined where they are, or where too little is known.
 *
 * @throws what reading throws; the reason of the signal when it is aborted
 */
export async function findDroppedGaps(
  snapshot: Snapshot,
  options: LongWorkOptions = {},
): Promise<readonly PlacedPiece[] | undefined> {
  const { rawBytes } = snapshot;
  if (rawBytes === undefined || snapshot.readBytes === undefined) return undefined;
  const pacer = new Pacer(options);
  // Where RAM ends in the middle of a page (0x9fbff), all that follows is off by as much, and so is the end of the file. Tables that
  // are cut in the wrong places may agree on a distance, too, but fewer of them.
  const end = rawBytes % PAGE_BYTES;
  const phases = new Set([pagePhase(snapshot) ?? end, end, 0]);
  let best: readonly Shift[] = [];
  for (const phase of phases) {
    const shifts = shiftsOf(await findTableLinks(snapshot, phase, pacer), phase);
    if (linksIn(shifts) > linksIn(best)) best = shifts;
  }
  for (const phase of best.length === 0 ? phases : []) {
    const shift = legacyShiftOf(await findLegacyLinks(snapshot, phase, pacer));
    if (shift !== undefined && shift.links > linksIn(best)) best = [shift];
  }
  return best.every(({ distance }) => distance === 0) ? undefined : piecesOf(withBeginning(best), rawBytes);
}

function linksIn(shifts: readonly Shift[]): number {
  return shifts.reduce((sum, { links }) => sum + links, 0);
}

/** The distance that links of legacy tables agree on: each of them is sure of what it leads to, so that two are enough. */
function legacyShiftOf({ distances, links }: LegacyLinks): Shift | undefined {
  const [best, next] = [...distances].sort(([, a], [, b]) => b - a);
  if (best === undefined || best[1] < LEAST_LEGACY_LINKS || best[1] < (next?.[1] ?? 0) * CLEARLY) return undefined;
  return { distance: best[0], first: links[0]!, last: links.at(-1)!, links: best[1] };
}

/** Distances that many links agree on, one for each piece of the file, by ascending addresses. */
function shiftsOf({ tables, links }: TableLinks, phase: number): Shift[] {
  const shifts: Shift[] = [];
  let rest = links;
  const places = new Set(tables);
  const most = Math.min(MAX_DISTANCE, (links.at(-1) ?? 0) + PAGE_BYTES);
  const counts = new Uint32Array((most + MAX_HEADER) / PAGE_BYTES);
  for (let count = 0; count < MAX_PIECES; count++) {
    const distance = bestDistance(tables, rest, counts, phase);
    if (distance === undefined) break;
    const agreeing = rest.filter((link) => places.has(link - distance));
    shifts.push({ distance, first: agreeing[0]!, last: agreeing.at(-1)!, links: agreeing.length });
    rest = rest.filter((link) => !places.has(link - distance));
  }
  // Pieces follow each other in the file as in memory; what does not is chance.
  return shifts.sort((a, b) => a.first - b.first).filter(inOrder);
}

function inOrder(shift: Shift, index: number, all: readonly Shift[]): boolean {
  const before = all[index - 1];
  return before === undefined || (shift.distance > before.distance && shift.first > before.last);
}

function bestDistance(
  tables: Float64Array,
  links: Float64Array,
  counts: Uint32Array,
  phase: number,
): number | undefined {
  if (links.length < LEAST_LINKS) return undefined;
  countDistances(tables, links, counts, phase);
  const best = highest(counts);
  const distance = best * PAGE_BYTES - MAX_HEADER - phase;
  // Another piece has another distance, and other links: only what explains these as well is a rival. Tables that lie side by side
  // agree on the distances around the right one, too, a little less each.
  const places = new Set(tables);
  const agreeing = links.filter((link) => places.has(link - distance));
  countDistances(tables, agreeing, counts, phase);
  const most = counts[best]!;
  counts.fill(0, Math.max(0, best - SHOULDER), best + SHOULDER + 1);
  return most >= LEAST_LINKS && most >= counts[highest(counts)]! * CLEARLY ? distance : undefined;
}

function countDistances(tables: Float64Array, links: Float64Array, counts: Uint32Array, phase: number): void {
  counts.fill(0);
  for (const link of links) {
    for (const table of tables) {
      const index = (link - (table - phase) + MAX_HEADER) / PAGE_BYTES;
      if (index >= 0 && index < counts.length) counts[index]!++;
    }
  }
}

function highest(counts: Uint32Array): number {
  let best = 0;
  for (let index = 0; index < counts.length; index++) if (counts[index]! > counts[best]!) best = index;
  return best;
}

/** A distance of more than the gaps below 16 MiB is that of a later piece: the file begins with memory at its own addresses. */
function withBeginning(shifts: readonly Shift[]): readonly Shift[] {
  const isLater = shifts[0]!.distance >= LATER_BYTES;
  return isLater ? [{ distance: 0, first: 0, last: 0, links: 0 }, ...shifts] : shifts;
}

/** The pieces between which the distances change: at the roundest address that is possible. */
function piecesOf(shifts: readonly Shift[], byteLength: number): PlacedPiece[] {
  const starts: { pa: number; position: number }[] = [];
  const [first] = shifts as [Shift];
  if (first.distance > 0 && first.distance < LOW_BYTES && first.first >= LOW_BYTES) {
    // Memory below 640 KiB comes first, without its page 0 where Linux keeps that for itself.
    const position = LOW_BYTES - first.distance;
    starts.push({ pa: position + PAGE_BYTES <= 0xa_0000 ? PAGE_BYTES : 0, position: 0 }, { pa: LOW_BYTES, position });
  } else {
    starts.push({ pa: Math.max(first.distance, 0), position: Math.max(-first.distance, 0) });
  }
  for (const [index, shift] of shifts.entries()) {
    if (index === 0) continue;
    const before = shifts[index - 1]!;
    const pa = roundest(before.last - before.distance + PAGE_BYTES + shift.distance, shift.first);
    starts.push({ pa, position: pa - shift.distance });
  }
  return starts.flatMap(({ pa, position }, index) => {
    const end = starts[index + 1]?.position ?? byteLength;
    const pages = Math.floor((end - position) / PAGE_BYTES);
    return pages > 0 ? [{ pa, byteLength: pages * PAGE_BYTES, position }] : [];
  });
}

/** The address from `least` to `most` that is a multiple of the largest power of two. */
function roundest(least: number, most: number): number {
  for (let unit = 2 ** 40; unit > PAGE_BYTES; unit /= 2) {
    const at = Math.floor(most / unit) * unit;
    if (at >= least) return at;
  }
  return most;
}

/**
 * Refuses a raw file whose positions are no physical addresses: whatever a search found there would be wrong.
 *
 * @throws PtmonError `bad-argument` with the map that would be right; as `findDroppedGaps`
 */
export async function refuseDroppedGaps(snapshot: Snapshot, options: LongWorkOptions = {}): Promise<void> {
  const pieces = await findDroppedGaps(snapshot, options);
  if (pieces === undefined) return;
  const map = pieces.map(({ pa, byteLength, position }) => `${hex(pa)}+${hex(byteLength)}@${hex(position)}`).join();
  const moved = pieces.find(({ pa, position }) => pa !== position) ?? pieces[0]!;
  throw new PtmonError(
    'bad-argument',
    `the positions in this file are not physical addresses: what page tables say is at ${hex(moved.pa)} lies at position ` +
      `${hex(moved.position)}, as where the gaps of RAM were dropped (LiME with format=raw) or the file has a header. ` +
      `Give the map that page tables agree on: --ram-map ${map}; ` +
      `if positions are addresses all the same: --ram-map 0x0+${hex(Math.floor((snapshot.rawBytes ?? 0) / PAGE_BYTES) * PAGE_BYTES)}@0x0`,
  );
}
