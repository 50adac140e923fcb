/** An address space as ranges: what a map shows, and which addresses lead to a frame. */
import { PAGE_BYTES, paOf, toPa } from '../core/address/pa.ts';
import type { Pa, Va } from '../core/address/types.ts';
import { vaOf } from '../core/address/va.ts';
import { PtmonError } from '../core/error.ts';
import { goesOn, type Piece } from '../core/paging/pieces.ts';
import { RIGHT_NO_EXECUTE, RIGHT_USER, RIGHT_WRITABLE, type Rights, rightsOf } from '../core/paging/rights.ts';
import type { TableSource } from '../driver/snapshot.ts';
import { type SpaceOptions, spacePieces, type Tables } from './space-pieces.ts';

/** Addresses that follow each other, all of them mapped, with the same rights. */
export interface AddressRange {
  readonly va: Va;
  /** A multiple of 4096. */
  readonly byteLength: number;
  readonly rights: Rights;
  /** How much of it leaves of each size map, the smallest first. */
  readonly sizes: readonly { readonly pageSize: number; readonly byteLength: number }[];
  /** Physical address behind `va`. */
  readonly pa: Pa;
  /** Runs of physical memory behind it. Each page of a repeated frame is in the same one. */
  readonly runs: number;
  /** Whether it is one frame again and again. */
  readonly repeats: boolean;
}

/** Only what has all of these. */
export interface RangeFilter {
  readonly writable?: boolean;
  readonly user?: boolean;
  readonly executable?: boolean;
  /** Bytes that a leaf maps: one of these. */
  readonly pageSizes?: readonly number[];
  /** Bytes of a whole range. */
  readonly minByteLength?: number;
  readonly maxByteLength?: number;
  /** Physical memory that it leads to: every page that [pa, pa + byteLength) touches. */
  readonly physical?: { readonly pa: number; readonly byteLength: number };
}

export interface RangeOptions extends SpaceOptions {
  /**
   * Defaults to `rights`: addresses that follow each other with the same rights are one range. `runs`: so long as the physical
   * memory behind them follows each other, too, or is one frame again and again.
   */
  readonly by?: 'rights' | 'runs';
  readonly filter?: RangeFilter;
}

/** The ranges of an address space, ascending. @throws PtmonError `bad-argument` for a filter that nothing can pass; as `spacePieces` */
export async function* listRanges(
  snapshot: TableSource,
  space: Tables,
  options: RangeOptions = {},
): AsyncGenerator<AddressRange, void, undefined> {
  const { filter = {}, by = 'rights' } = options;
  checkFilter(filter);
  const { minByteLength = 0, maxByteLength = Infinity } = filter;
  const isWanted = ({ byteLength }: AddressRange) => byteLength >= minByteLength && byteLength <= maxByteLength;
  let pending: OpenRange | undefined;
  for await (const batch of spacePieces(snapshot, space, options)) {
    for (const piece of filtered(batch, filter)) {
      if (pending?.take(piece, by) === true) continue;
      const range = pending?.close();
      if (range !== undefined && isWanted(range)) yield range;
      pending = new OpenRange(piece);
    }
  }
  const range = pending?.close();
  if (range !== undefined && isWanted(range)) yield range;
}

function checkFilter({ writable, user, executable, physical }: RangeFilter): void {
  const flag = Object.entries({ writable, user, executable }).find(
    ([, value]) => ![undefined, true, false].includes(value),
  );
  if (flag !== undefined)
    throw new PtmonError('bad-argument', `the filter ${flag[0]}: ${String(flag[1])} is neither true nor false`);
  if (physical === undefined) return;
  toPa(physical.pa);
  if (physical.byteLength > 0) return;
  throw new PtmonError(
    'bad-argument',
    `byteLength ${String(physical.byteLength)} of physical memory: give a positive number`,
  );
}

function* filtered(batch: readonly Piece[], filter: RangeFilter): Generator<Piece, void, undefined> {
  const { writable, user, executable, pageSizes, physical } = filter;
  for (const piece of batch) {
    const { rights, slotPages } = piece;
    if (writable !== undefined && writable !== ((rights & RIGHT_WRITABLE) !== 0)) continue;
    if (user !== undefined && user !== ((rights & RIGHT_USER) !== 0)) continue;
    if (executable !== undefined && executable !== ((rights & RIGHT_NO_EXECUTE) === 0)) continue;
    if (pageSizes !== undefined && !pageSizes.includes(slotPages * PAGE_BYTES)) continue;
    const part = physical === undefined ? piece : clipped(piece, physical);
    if (part !== undefined) yield part;
  }
}

/** The part of a piece that leads to this physical memory. */
function clipped(
  piece: Piece,
  { pa, byteLength }: { readonly pa: number; readonly byteLength: number },
): Piece | undefined {
  const first = Math.floor(pa / PAGE_BYTES);
  const end = Math.ceil((pa + byteLength) / PAGE_BYTES);
  const { vpn, pages, gfn, step } = piece;
  if (step === 0) return gfn >= first && gfn < end ? piece : undefined;
  const from = Math.max(first, gfn);
  const count = Math.min(end, gfn + pages) - from;
  return count <= 0 ? undefined : { ...piece, vpn: vpn + (from - gfn), pages: count, gfn: from };
}

/** A range that may go on. */
class OpenRange {
  readonly #first: Piece;
  #last: Piece;
  #pages = 0;
  #runs = 1;
  readonly #sizes = new Map<number, number>();

  constructor(piece: Piece) {
    this.#first = piece;
    this.#last = piece;
    this.#count(piece);
  }

  /** Adds the piece if it continues the range; returns whether it does. */
  take(piece: Piece, by: 'rights' | 'runs'): boolean {
    const { vpn, rights } = this.#first;
    if (piece.vpn !== vpn + this.#pages || piece.rights !== rights) return false;
    const isSameRun = goesOn(this.#last, piece);
    if (by === 'runs' && !isSameRun) return false;
    if (!isSameRun) this.#runs++;
    this.#last = piece;
    this.#count(piece);
    return true;
  }

  close(): AddressRange {
    const { vpn, gfn, rights } = this.#first;
    // Of one run, the last piece begins with the frame of the first only where all have it.
    const isOneFrame = this.#last === this.#first ? this.#first.step === 0 : this.#last.gfn === gfn;
    return {
      va: vaOf(vpn, 0),
      byteLength: this.#pages * PAGE_BYTES,
      rights: rightsOf(rights),
      sizes: [...this.#sizes]
        .sort(([a], [b]) => a - b)
        .map(([slotPages, count]) => ({ pageSize: slotPages * PAGE_BYTES, byteLength: count * PAGE_BYTES })),
      pa: paOf(gfn),
      runs: this.#runs,
      repeats: this.#runs === 1 && isOneFrame,
    };
  }

  #count({ slotPages, pages }: Piece): void {
    this.#sizes.set(slotPages, (this.#sizes.get(slotPages) ?? 0) + pages);
    this.#pages += pages;
  }
}
