/**
 * Where the pieces of a raw file belong whose gaps were dropped (LiME's `format=raw`), or that has a header. Each place that something
 * speaks for is tried: Linux' own list of RAM, the layouts of QEMU's machines, what empty lists of a kernel say, and the distances between
 * the addresses that page tables name and the positions of page tables. It counts under how many of them roots are found that are sure.
 * Chance yields some, too, so only what has far more than anything else is proposed. A hole needs no roots behind it: lists show it.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { Pacer, type LongWorkOptions } from '../../driver/pacer.ts';
import type { PagingModeName } from '../../core/paging/modes.ts';
import type { MemoryRegion, Snapshot } from '../../driver/snapshot.ts';
import { findRootsAmong } from './find-roots.ts';
import { type Hole, ListHeads, type ListedPlaces } from './list-heads.ts';
import { findFirmwareRam, findListedRam, type ListedRam, ramBehind } from './listed-ram.ts';
import { pagePhase } from './page-phase.ts';
import { bytesIn, exactList, listedPieces, mapThatFits, placed } from './raw-maps.ts';
import { placedSnapshot, type PlacedPiece } from './placed-memory.ts';
import { findLegacyLinks } from './legacy-links.ts';
import { findTableLinks, type TableLinks } from './table-links.ts';

export type { PlacedPiece };

/** Distances between what entries name and where it lies: gaps below 4 GiB, and a header in front. */
const MAX_DISTANCE = 5 * 2 ** 30;
const MAX_HEADER = 2 ** 18;
const LOW_BYTES = 2 ** 20;
const GIB = 2 ** 30;
/** Links that must agree on a distance, for it to stand out. */
const LEAST_LINKS = 12;
const LEAST_LEGACY_LINKS = 2;
/** Distances that are tried, of each place where pages may begin. */
const MOST_TRIED = 4;
/** Roots that must be sure, and how many times as many as under any other map. */
const LEAST_ROOTS = 2;
const CLEARLY = 3;
/** Pages around a distance whose distances are no rivals, and how many times as many links a clear one has. */
const SHOULDER = 64;
const CLEARLY_LINKED = 1.5;
const WIDE: readonly PagingModeName[] = ['5-level', '4-level', 'pae'];
const LEGACY: readonly PagingModeName[] = ['32-bit'];

/** What is known of a raw file whose positions are no addresses. */
export interface DroppedGaps {
  /** Where its pieces belong; none where that is not known. */
  readonly pieces: readonly PlacedPiece[];
  /** Where addresses are missing, as far as a kernel's memory shows it. */
  readonly holes: readonly Hole[];
}

/** What is found if pages of the file begin at one place. */
interface Phase extends TableLinks {
  readonly phase: number;
  readonly modes: readonly PagingModeName[];
  /** Between addresses of tables and positions of tables: the likeliest, and one that stands out. */
  readonly distances: readonly number[];
  readonly stands: number | undefined;
  /** By empty lists of a kernel. */
  readonly places: ListedPlaces;
}

/**
 * The pieces of a file that holds no gaps, if its addresses are not its positions. Undefined where addresses are positions, or where too
 * little is known.
 *
 * @throws what reading throws; the reason of the signal when it is aborted
 */
export async function findDroppedGaps(
  snapshot: Snapshot,
  options: LongWorkOptions = {},
): Promise<DroppedGaps | undefined> {
  const { rawBytes } = snapshot;
  if (rawBytes === undefined || snapshot.readBytes === undefined) return undefined;
  const file = new RawFile(snapshot, rawBytes, options);
  // Where RAM ends in the middle of a page (0x9fbff), all that follows is off by as much, and so is the end of the file. Small tables
  // that are cut in the wrong places make sense, too: so what begins where pages do not counts for nothing, if that is known.
  const guessed = pagePhase(snapshot);
  const places = [...new Set([0, guessed ?? 0, rawBytes % PAGE_BYTES])];
  const all: Phase[] = [];
  for (const phase of places) all.push(await readTableLinks(snapshot, phase, file.pacer));
  // Lists that name their own addresses tell more than how pages begin.
  const inLists = all.flatMap((each) => (each.places.distance === undefined ? [] : [each.places]));
  const listed = all.find(({ places: { distance } }) => distance !== undefined);
  const known = guessed === undefined ? undefined : (listed?.phase ?? guessed);
  const wide = all.filter(({ phase }) => known === undefined || phase === known);
  const holes = listed?.places.holes ?? [];
  if (holes.length > 0 || inLists.length > 1)
    return { pieces: mapThatFits(inLists, await file.lists(), rawBytes), holes };
  const verdict = await decide(file, wide);
  if (verdict.pieces !== undefined) return otherThan(file.asItIs, verdict.pieces);
  const legacy: Phase[] = [];
  for (const each of wide) legacy.push(await readLegacyLinks(snapshot, each, file.pacer));
  const last = await decide(file, legacy);
  if (last.pieces !== undefined) return otherThan(file.asItIs, last.pieces);
  // Nothing is decided, but something speaks against the file's being what it seems to be.
  const isOdd = verdict.isOdd || last.isOdd || (known !== undefined && known !== 0);
  return isOdd ? { pieces: [], holes } : undefined;
}

/** A raw file whose map is in question, and what is read of it once. */
class RawFile {
  readonly snapshot: Snapshot;
  readonly byteLength: number;
  readonly options: LongWorkOptions;
  readonly pacer: Pacer;
  /** The map by which positions are addresses. */
  readonly asItIs: readonly PlacedPiece[];
  #lists: readonly ListedRam[] | undefined;
  /** By the firmware: a file that is truncated lacks some of it. */
  #ram: readonly MemoryRegion[] | undefined;

  constructor(snapshot: Snapshot, byteLength: number, options: LongWorkOptions) {
    this.snapshot = snapshot;
    this.byteLength = byteLength;
    this.options = options;
    this.pacer = new Pacer(options);
    this.asItIs = placed(0, 0, byteLength);
  }

  async lists(): Promise<readonly ListedRam[]> {
    return (this.#lists ??= await findListedRam(this.snapshot, this.pacer));
  }

  async attempt(pieces: readonly PlacedPiece[], phases: readonly Phase[]): Promise<Trial> {
    this.#ram ??= await findFirmwareRam(this.snapshot, this.pacer);
    const end = Math.max(...pieces.map(({ pa, byteLength }) => pa + byteLength));
    const placed = placedSnapshot(this.snapshot, pieces, ramBehind(this.#ram, end));
    return { pieces, roots: await rootsUnder(placed, pieces, phases, this.options) };
  }
}

/** The map that is right; where none is known, whether something speaks against the file as it is. */
type Verdict = { readonly pieces: readonly PlacedPiece[] } | { readonly pieces?: undefined; readonly isOdd: boolean };

/** What page tables of one kind say. */
async function decide(file: RawFile, phases: readonly Phase[]): Promise<Verdict> {
  const lists = await file.lists();
  const allowed = (pieces: readonly PlacedPiece[]) => phases.every(({ places }) => places.fits(pieces));
  const exact = exactList(lists, file.byteLength);
  const listed = exact === undefined ? [] : listedPieces(exact, file.byteLength);
  if (listed.length > 0 && allowed(listed)) return { pieces: listed };
  const first = await file.attempt(file.asItIs, phases);
  const stands = phases.map(({ stands: distance }) => distance).filter((distance) => distance !== undefined);
  const isAlone = stands.length > 0 && stands.every((distance) => distance === 0);
  const isListed = phases.some(({ places }) => places.distance === 0);
  if (first.roots.size >= LEAST_ROOTS && (isAlone || isListed)) return { pieces: file.asItIs };
  const trials = await tryMaps(file, first, mapsToTry(lists, phases, file.byteLength).filter(allowed), phases);
  const best = winner(trials, phases);
  if (best !== undefined) return best;
  const most = Math.max(...trials.map(({ roots }) => roots.size));
  if (most >= LEAST_ROOTS && most === first.roots.size) return { pieces: file.asItIs };
  return { isOdd: most >= LEAST_ROOTS || stands.some((distance) => distance !== 0) };
}

/** Each map once. */
async function tryMaps(
  file: RawFile,
  first: Trial,
  maps: readonly PlacedPiece[][],
  phases: readonly Phase[],
): Promise<Trial[]> {
  const trials = [first];
  for (const pieces of maps) {
    const isKnown = trials.some((trial) => mapText(trial.pieces) === mapText(pieces));
    if (!isKnown && pieces.length > 0) trials.push(await file.attempt(pieces, phases));
  }
  return trials;
}

/** The map for which far more speaks than for any other, if nothing speaks against it. */
function winner(trials: readonly Trial[], phases: readonly Phase[]): Trial | undefined {
  const best = trials.find((trial) => trials.every((other) => other === trial || beats(trial, other)));
  if (best === undefined || best.roots.size < LEAST_ROOTS || isHalfKnown(best.pieces)) return undefined;
  return phases.some((each) => hasOtherPiece(each, best.pieces)) ? undefined : best;
}

/**
 * Whether it is one piece behind a gap. Roots say where they and their tables belong; nothing says where a gap is, so what is in front of
 * them may belong somewhere else.
 */
function isHalfKnown(pieces: readonly PlacedPiece[]): boolean {
  return pieces.length === 1 && pieces[0]!.pa > pieces[0]!.position;
}

/** Whether links that a map of one piece does not explain agree on another distance. */
function hasOtherPiece({ tables, links, phase }: Phase, pieces: readonly PlacedPiece[]): boolean {
  const [{ pa, position }] = pieces as [PlacedPiece];
  if (pieces.length > 1 || position % PAGE_BYTES !== phase) return false;
  const places = new Set(tables);
  const rest = links.filter((link) => !places.has(link - pa + position));
  return clearDistance({ tables, links: rest }, phase) !== undefined;
}

function otherThan(asItIs: readonly PlacedPiece[], pieces: readonly PlacedPiece[]): DroppedGaps | undefined {
  return mapText(pieces) === mapText(asItIs) ? undefined : { pieces, holes: [] };
}

/** Maps that something speaks for. */
function mapsToTry(lists: readonly ListedRam[], phases: readonly Phase[], rawBytes: number): PlacedPiece[][] {
  const [longest] = [...lists].sort((a, b) => bytesIn(b) - bytesIn(a));
  return [
    ...(longest === undefined ? [] : [listedPieces(longest, rawBytes)]),
    ...layouts(rawBytes),
    ...phases.flatMap(({ phase, distances }) => distances.map((distance) => piecesAt(distance, phase, rawBytes))),
  ];
}

async function readTableLinks(snapshot: Snapshot, phase: number, pacer: Pacer): Promise<Phase> {
  const heads = new ListHeads(phase);
  const found = await findTableLinks(snapshot, heads, pacer);
  const places = heads.places();
  const distances = withListed(likelyDistances(found, phase), places);
  return { ...found, phase, modes: WIDE, distances, stands: clearDistance(found, phase), places };
}

async function readLegacyLinks(snapshot: Snapshot, { phase, places }: Phase, pacer: Pacer): Promise<Phase> {
  const { tables, distances } = await findLegacyLinks(snapshot, phase, pacer);
  const [best, next] = [...distances].sort(([, a], [, b]) => b - a);
  const isClear = best !== undefined && best[1] >= LEAST_LEGACY_LINKS && best[1] > (next?.[1] ?? 0);
  const likely = [best, next].flatMap((each) => each?.[0] ?? []);
  return {
    phase,
    tables,
    links: new Float64Array(),
    modes: LEGACY,
    distances: withListed(likely, places),
    stands: isClear ? best[0] : undefined,
    places,
  };
}

function withListed(distances: readonly number[], { distance }: ListedPlaces): readonly number[] {
  return distance === undefined ? distances : [...distances, distance];
}

/** A map, and the positions of roots that are sure under it. */
interface Trial {
  readonly pieces: readonly PlacedPiece[];
  readonly roots: ReadonlySet<number>;
}

/** Whether far more speaks for one map alone than for the other alone. */
function beats({ roots }: Trial, other: Trial): boolean {
  const own = [...roots].filter((root) => !other.roots.has(root)).length;
  const others = [...other.roots].filter((root) => !roots.has(root)).length;
  return own >= LEAST_ROOTS && own >= others * CLEARLY;
}

/** Positions of the roots that are sure if a map is right, among the pages that look like tables. */
async function rootsUnder(
  snapshot: Snapshot,
  pieces: readonly PlacedPiece[],
  phases: readonly Phase[],
  options: LongWorkOptions,
): Promise<ReadonlySet<number>> {
  const pages = new Set(phases.flatMap(({ tables }) => addressesOf(tables, pieces)));
  const { modes } = phases[0]!;
  const found = await findRootsAmong(snapshot, [...pages], { ...options, modes });
  const sure = found.filter(({ confidence }) => confidence === 'sure');
  return new Set(
    sure.map(({ root }) => {
      const piece = pieces.find(({ pa, byteLength }) => root >= pa && root < pa + byteLength)!;
      return piece.position + root - piece.pa;
    }),
  );
}

/** The addresses of pages that begin where pages of the map do. */
function addressesOf(positions: Float64Array, pieces: readonly PlacedPiece[]): number[] {
  return pieces.flatMap(({ pa, byteLength, position }) => {
    const within = [...positions].filter((each) => each >= position && each < position + byteLength);
    return within.filter((each) => (each - position) % PAGE_BYTES === 0).map((each) => each - position + pa);
  });
}

/** One piece at a distance; nothing says where memory below 1 MiB is that is nearer to what follows it than in memory. */
function piecesAt(distance: number, phase: number, byteLength: number): PlacedPiece[] {
  if (distance <= 0) return placed(0, -distance, byteLength);
  if (distance < LOW_BYTES) return placed(LOW_BYTES, LOW_BYTES - distance, byteLength);
  return placed(distance + phase, phase, byteLength);
}

/** QEMU splits the RAM of `q35` at 2 GiB and of `pc` at 3 GiB; the rest is from 4 GiB on. */
function layouts(byteLength: number): PlacedPiece[][] {
  const splits = [2 * GIB, 3 * GIB].filter((split) => byteLength > split);
  return splits.map((split) => [...placed(0, 0, split), ...placed(4 * GIB, split, byteLength)]);
}

function isInPlace({ pa, position }: PlacedPiece): boolean {
  return pa === position;
}

/** The distances that most links agree on. */
function likelyDistances({ tables, links }: TableLinks, phase: number): number[] {
  const counts = countDistances({ tables, links }, phase);
  return Array.from({ length: MOST_TRIED }, () => {
    const best = highest(counts);
    const isSome = counts[best]! > 1;
    counts[best] = 0;
    return isSome ? [best * PAGE_BYTES - MAX_HEADER - phase] : [];
  }).flat();
}

/** The distance that more links agree on than on any other; undefined where none does by far. */
function clearDistance({ tables, links }: TableLinks, phase: number): number | undefined {
  const counts = countDistances({ tables, links }, phase);
  const best = highest(counts);
  const most = counts[best]!;
  // Tables that lie side by side agree on the distances around the right one, too, a little less each.
  counts.fill(0, Math.max(0, best - SHOULDER), best + SHOULDER + 1);
  const isClear = most >= LEAST_LINKS && most >= counts[highest(counts)]! * CLEARLY_LINKED;
  return isClear ? best * PAGE_BYTES - MAX_HEADER - phase : undefined;
}

function countDistances({ tables, links }: TableLinks, phase: number): Uint32Array {
  const most = Math.min(MAX_DISTANCE, (links.at(-1) ?? 0) + PAGE_BYTES);
  const counts = new Uint32Array((most + MAX_HEADER) / PAGE_BYTES);
  for (const link of links) {
    for (const table of tables) {
      const index = (link - (table - phase) + MAX_HEADER) / PAGE_BYTES;
      if (index >= 0 && index < counts.length) counts[index]!++;
    }
  }
  return counts;
}

function highest(counts: Uint32Array): number {
  let best = 0;
  for (let index = 0; index < counts.length; index++) if (counts[index]! > counts[best]!) best = index;
  return best;
}

function mapText(pieces: readonly PlacedPiece[]): string {
  return pieces.map(({ pa, byteLength, position }) => `${hex(pa)}+${hex(byteLength)}@${hex(position)}`).join();
}

/**
 * Refuses a raw file whose positions are no physical addresses: whatever a search found there would be wrong.
 *
 * @throws PtmonError `bad-argument` with the map that would be right, if one is known; as `findDroppedGaps`
 */
export async function refuseDroppedGaps(snapshot: Snapshot, options: LongWorkOptions = {}): Promise<void> {
  const found = await findDroppedGaps(snapshot, options);
  if (found !== undefined) throw droppedGapsError(found, snapshot.rawBytes ?? 0);
}

export function droppedGapsError({ pieces, holes }: DroppedGaps, rawBytes: number): PtmonError {
  const moved = pieces.find((piece) => !isInPlace(piece));
  const why = 'Perhaps the gaps of RAM were dropped (LiME with format=raw), or the file has a header';
  const asItIs = `if positions are addresses nevertheless: --ram-map ${mapText(placed(0, 0, rawBytes))}`;
  const [hole] = holes;
  const where =
    hole === undefined
      ? 'its page tables do not agree on a map'
      : `${hex(hole.byteLength)} bytes of addresses are missing somewhere between the positions ${hex(hole.after + PAGE_BYTES)} and ` +
        `${hex(hole.before)}, by the kernel's own lists${holes.length > 1 ? `, and there are ${holes.length - 1} more holes` : ''}`;
  return new PtmonError(
    'bad-argument',
    moved === undefined
      ? `the positions in this file do not seem to be physical addresses: ${where}. ${why}. ` +
          `Give the ranges of RAM (/proc/iomem lists them) in --ram-map ADDRESS+SIZE@POSITION,…; ${asItIs}`
      : `the positions in this file are not physical addresses: by the page tables, what is at position ` +
          `${hex(moved.position)} belongs at address ${hex(moved.pa)}. ${why}. Give the map that page tables agree on: --ram-map ${mapText(pieces)}; ${asItIs}`,
  );
}
