/** The pieces of a snapshot's address space, in batches: what is not here is fetched, and others get their turn. */
import { PtmonError } from '../core/error.ts';
import { positionsOf } from '../core/paging/enumerate.ts';
import { foldVpn, type Paging } from '../core/paging/format.ts';
import { type Gap, type KeptEntry, MAX_REPEATS, type Piece, pieces } from '../core/paging/pieces.ts';
import { type LongWorkOptions, Pacer } from '../driver/pacer.ts';
import type { TableSource } from '../driver/snapshot.ts';
import type { GapTotals } from './gap-totals.ts';

/** Pieces that are taken at once. */
const BATCH = 512;

/** An address space by its tables. */
export interface Tables {
  readonly paging: Paging;
  /** Physical address of the top-level table. */
  readonly root: number;
}

export interface SpaceOptions extends LongWorkOptions {
  /** Every page that [from, to) touches; defaults to the whole address space. */
  readonly from?: bigint;
  /** Exclusive, up to 2^64. */
  readonly to?: bigint;
  /** Receives what could not be looked at. */
  readonly gaps?: GapTotals;
  /** How often tables may be looked through again; defaults to 8192 times. */
  readonly maxRepeats?: number;
  /** Receives each entry that is not present and not zero; one may come twice. */
  readonly onKept?: (entry: KeptEntry) => void;
}

/**
 * Ascending; a batch is the caller's.
 *
 * @throws PtmonError `corrupt-input` where the tables lead to each other, or a page of the source is spoiled;
 *   `bad-argument` for bounds that are no addresses; what fetching throws; the reason of the signal when it is aborted
 */
export async function* spacePieces(
  { memory, remote, description }: TableSource,
  { paging, root }: Tables,
  options: SpaceOptions,
): AsyncGenerator<readonly Piece[], void, undefined> {
  const { maxRepeats = MAX_REPEATS, gaps, onKept } = options;
  const onGap = gaps && ((gap: Gap) => gaps.add(gap));
  const parts = { ...(onGap && { onGap }), ...(onKept && { onKept }) };
  const bounds = positionsOf(paging, options.from ?? 0n, options.to ?? 2n ** 64n);
  const pacer = new Pacer(options);
  let { from } = bounds;
  let mapped = 0;
  for (;;) {
    let batch: Piece[] = [];
    try {
      for (const piece of pieces(paging, memory, root, { ...bounds, from, maxRepeats, ...parts })) {
        if (piece.pages > 0) {
          batch.push({ ...piece });
          mapped += piece.pages;
          gaps?.addMapped(piece.pages);
          from = foldVpn(paging, piece.vpn) + piece.pages;
        }
        if (batch.length === BATCH) {
          yield batch;
          batch = [];
        }
        if (pacer.isDue) await pacer.turn({ what: 'going through page tables', done: mapped, unit: 'pages' });
      }
      if (batch.length > 0) yield batch;
      return;
    } catch (error) {
      if (!(error instanceof PtmonError)) throw error;
      // Of two that are compared, the one that is meant; what has an offset is named by its file.
      if (error.code === 'corrupt-input' && error.facts.offset === undefined)
        throw new PtmonError(error.code, `${description}: ${error.message}`, error.facts, { cause: error });
      if (error.code !== 'not-fetched' || remote === undefined) throw error;
      if (batch.length > 0) yield batch;
      await remote.fetch(error.facts.missing ?? [], options.signal);
    }
  }
}
