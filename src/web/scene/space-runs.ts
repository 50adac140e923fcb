/** Reads what page tables map as the runs that the picture draws. */
import { u64Of, vpnOf } from '../../core/address/va.ts';
import type { Piece } from '../../core/paging/pieces.ts';
import type { SpaceOptions } from '../../snapshot/index.ts';
import { lookOf, SWAPPED_LOOK } from '../picture/look.ts';
import { joinRuns, type Run } from '../picture/runs.ts';

/** Yields the pieces of one address space, as `spacePieces` does. */
export type ReadPieces = (options: SpaceOptions) => AsyncIterable<readonly Piece[]>;

/** Returns whether an entry that is not present is of a page on a swap device. */
export type IsSwapped = (value: bigint, level: number) => boolean;

/** Pages [from, to). */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export function runOf({ vpn, pages, gfn, step, slotPages, rights }: Piece): Run {
  return [vpn, pages, lookOf(rights, slotPages, step === 0), gfn];
}

/** The runs of a span, ascending. @throws PtmonError as `spacePieces` */
export async function readRuns(read: ReadPieces, { from, to }: Span, isSwapped?: IsSwapped): Promise<Run[]> {
  const mapped: Run[] = [];
  const swapped = new Map<number, Run>();
  const onKept = ({
    vpn,
    pages,
    level,
    lo,
    hi,
  }: {
    vpn: number;
    pages: number;
    level: number;
    lo: number;
    hi: number;
  }) => {
    if (isSwapped?.(u64Of(lo, hi), level) === true) swapped.set(vpn, [vpn, pages, SWAPPED_LOOK, -1]);
  };
  for await (const batch of read({ from: BigInt(from) << 12n, to: BigInt(to) << 12n, onKept })) {
    for (const piece of batch) mapped.push(runOf(piece));
  }
  if (swapped.size === 0) return joinRuns(mapped);
  return joinRuns([...mapped, ...swapped.values()].sort((a, b) => a[0] - b[0]));
}

/** The pages that an event or a request is about. */
export function spanOf(va: bigint, pages: number): Span {
  const from = vpnOf(va);
  return { from, to: from + pages };
}
