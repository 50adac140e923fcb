/**
 * Where pages of kernel memory belong, in a file whose positions may be no addresses, told by what they hold alone. An empty list of a
 * kernel (Linux: `struct list_head`) is two pointers to itself: wherever it lies, it says its own virtual address. In a direct map that is
 * its physical one and a constant. So what a hole in the file has moved says another constant than what is in front of the hole.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { partitionPoint } from '../../core/struct/partition-point.ts';
import type { PlacedPiece } from './placed-memory.ts';

const PAGE_WORDS = PAGE_BYTES / 4;
/** The first words of kernel addresses: the upper three quarters of 4 GiB, and what 5-level paging has above the middle. */
const LEAST_WORD = { 4: 2 ** 30, 8: 0xff00_0000 } as const;
/** What direct maps are aligned to: with 32 bits the boundaries that Linux offers, with 64 bits what KASLR leaves alone. */
const ALIGNMENT = { 4: 2 ** 27, 8: 2 ** 30 } as const;
/** Pages that agree by chance are fewer: 3 of 256 MiB. */
const LEAST_PAGES = 12;
/** No hole is larger: other mappings of a kernel (vmemmap, its image) are TiBs away from its direct map. */
const MAX_HOLE = 2 ** 36;
/** The part of pages that may contradict: copies of others, and links from one page to another that look like a list's own. */
const MAX_STRAY = 0.05;
/** Pages that contradict the right map, beside those that contradict every map. */
const STRAYS = 2;
const MAX_CONSTANTS = 2 ** 18;

/** Pages whose lists agree on a constant: that between virtual addresses and the positions of pages, in pages. */
interface Agreement {
  readonly constant: number;
  /** Positions, ascending. */
  readonly pages: number[];
}

/** Addresses that are missing between two pages of a file that follow each other. */
export interface Hole {
  /** Positions: of the last page before it, and of the first page behind it, of which something is known. */
  readonly after: number;
  readonly before: number;
  readonly byteLength: number;
}

export interface ListedPlaces {
  /** Between physical addresses and positions, of the first piece: undefined where too little is known. */
  readonly distance: number | undefined;
  /** Ascending. */
  readonly holes: readonly Hole[];
  /** Whether its lists allow a map: no more pages contradict it than must. */
  readonly fits: (pieces: readonly PlacedPiece[]) => boolean;
}

/** Reads pages in the order of their positions, all with the same phase. */
export class ListHeads {
  readonly phase: number;
  readonly #narrow = new Map<number, Agreement>();
  readonly #wide = new Map<number, Agreement>();

  constructor(phase: number) {
    this.phase = phase;
  }

  add(words: Uint32Array, position: number): void {
    const page = (position - this.phase) / PAGE_BYTES;
    for (let at = 0; at < PAGE_WORDS - 1; at++) {
      const low = words[at]!;
      if ((low & (PAGE_BYTES - 1)) !== at * 4) continue;
      const next = words[at + 1]!;
      if (next === low) {
        if (low >= LEAST_WORD[4]) count(this.#narrow, (low >>> 12) - page, position);
      } else if (next >= LEAST_WORD[8] && words[at + 2] === low && words[at + 3] === next) {
        count(this.#wide, next * 2 ** 20 + (low >>> 12) - page, position);
      }
    }
  }

  places(): ListedPlaces {
    const [narrow, wide] = [mostAgreed(this.#narrow), mostAgreed(this.#wide)];
    const isWide = pageCount(wide.slice(0, 1)) > pageCount(narrow.slice(0, 1));
    return placesOf(isWide ? wide : narrow, ALIGNMENT[isWide ? 8 : 4] / PAGE_BYTES, this.phase);
  }
}

/** Each page once for each constant. */
function count(constants: Map<number, Agreement>, constant: number, position: number): void {
  const known = constants.get(constant);
  if (known === undefined) {
    if (constants.size < MAX_CONSTANTS) constants.set(constant, { constant, pages: [position] });
  } else if (known.pages.at(-1) !== position) {
    known.pages.push(position);
  }
}

function mostAgreed(constants: ReadonlyMap<number, Agreement>): readonly Agreement[] {
  const agreed = [...constants.values()].filter(({ pages }) => pages.length >= LEAST_PAGES);
  return agreed.sort((a, b) => b.pages.length - a.pages.length);
}

function placesOf(agreed: readonly Agreement[], alignment: number, phase: number): ListedPlaces {
  const rest = (constant: number) => constant % alignment;
  // What lies where it belongs tells a direct map from all else. Without it, the one that is all over the file is: a kernel's image and
  // its array of pages, where more pages may agree, lie in one place.
  const widest = agreed.reduce<Agreement | undefined>(
    (best, each) => (spanOf(each) > spanOf(best) ? each : best),
    undefined,
  );
  const start = agreed.find(({ constant }) => rest(constant) === 0) ?? widest;
  if (start === undefined) return { distance: undefined, holes: [], fits: () => true };
  const near = agreed.filter(({ constant }) => Math.abs(constant - start.constant) * PAGE_BYTES <= MAX_HOLE);
  const pieces = near.filter((each) => each.constant >= start.constant).sort((a, b) => a.constant - b.constant);
  const ends = pieces.slice(1).map(({ pages }, index) => boundary(pieces[index]!.pages, pages));
  const holes = ends.map(({ after, before }, index): Hole => {
    const byteLength = (pieces[index + 1]!.constant - pieces[index]!.constant) * PAGE_BYTES;
    return { after, before, byteLength };
  });
  const isMap =
    holes.every(({ after, before }) => after < before) && pageCount(near) * (1 - MAX_STRAY) <= pageCount(pieces);
  const offset = rest(start.constant);
  const distance = (offset > alignment / 2 ? offset - alignment : offset) * PAGE_BYTES - phase;
  if (!isMap) return { distance, holes: [], fits: () => true };
  const least = ends.reduce((sum, { strays }) => sum + strays, STRAYS);
  const shifts = pieces.map(({ constant, pages }) => ({
    shift: distance + (constant - start.constant) * PAGE_BYTES,
    pages,
  }));
  return { distance, holes, fits: (map) => strangers(map, shifts, alignment * PAGE_BYTES) <= least };
}

/** Where pages of one agreement end and those of the next begin, and how many are on the wrong side. */
function boundary(front: readonly number[], back: readonly number[]) {
  let best = { after: front.at(-1)!, before: Number.NaN, strays: Number.POSITIVE_INFINITY };
  for (const [index, before] of back.entries()) {
    const inFront = partitionPoint(front.length, (at) => front[at]! < before);
    const strays = index + front.length - inFront;
    if (strays < best.strays && inFront > 0) best = { after: front[inFront - 1]!, before, strays };
  }
  return best;
}

/** Pages that a map puts somewhere else than their lists say. Where the first piece belongs, they say up to the alignment. */
function strangers(
  map: readonly PlacedPiece[],
  shifts: readonly { readonly shift: number; readonly pages: readonly number[] }[],
  alignment: number,
): number {
  const shiftAt = (page: number) => {
    const piece = map.find(({ position, byteLength }) => page >= position && page < position + byteLength);
    return piece && piece.pa - piece.position;
  };
  const [first] = shifts;
  const all = (shiftAt(first!.pages[first!.pages.length >> 1]!) ?? first!.shift) - first!.shift;
  const known = all % alignment === 0 ? all : 0;
  const isElsewhere = (page: number, shift: number) => (shiftAt(page) ?? shift + known) !== shift + known;
  return shifts.reduce((sum, { shift, pages }) => sum + pages.filter((page) => isElsewhere(page, shift)).length, 0);
}

/** From the first of the pages to the last. */
function spanOf(agreement: Agreement | undefined): number {
  return agreement === undefined ? -1 : agreement.pages.at(-1)! - agreement.pages[0]!;
}

function pageCount(agreed: readonly Agreement[]): number {
  return agreed.reduce((sum, { pages }) => sum + pages.length, 0);
}
