/** What an address space maps, as ranges: contiguous on both sides, or leaf by leaf. */
import { PAGE_BYTES, paOf } from '../address/pa.ts';
import type { Pa, Va } from '../address/types.ts';
import { hex, offsetOf, toU64, vaOf, vpnOf } from '../address/va.ts';
import { PtmonError } from '../error.ts';
import type { PhysicalMemory } from '../memory/physical-memory.ts';
import { foldVpn, isCanonical, type Paging, rootOf } from './format.ts';
import { MAX_REPEATS, type Piece, pieces } from './pieces.ts';
import { type Rights, rightsOf } from './rights.ts';

const VA_END = 2n ** 64n;
const VPN_END = 2 ** 52;

/** Pages that may share the frame of the page before them: each is a range of its own, and one table can make 2^36 of them. */
const MAX_SHARED = 2 ** 22;

export interface EnumerateOptions {
  /** Every page that [from, to) touches; defaults to the whole address space. Neither bound needs to be canonical. */
  readonly from?: bigint | number;
  /** Exclusive, up to 2^64. */
  readonly to?: bigint | number;
  /** One range for leaves that continue each other, or one for each leaf. Defaults to true. */
  readonly merge?: boolean;
  /** How often a table may be read that was read before. Defaults to `MAX_REPEATS` (`pieces.ts`). */
  readonly maxRepeats?: number;
}

/** A piece of the address space that is mapped contiguously, by leaves of one size and with the same rights. */
export interface MappedRange {
  readonly va: Va;
  /** A multiple of 4096; less than `pageSize` where a bound cuts a large page. */
  readonly byteLength: number;
  /** Physical address behind `va`. */
  readonly pa: Pa;
  /** Bytes that each leaf maps. */
  readonly pageSize: number;
  readonly rights: Rights;
}

/**
 * The mapped ranges of one address space, ascending (`pieces` says how, and what tables of a broken guest lead to).
 *
 * @param root a CR3 value; the bits that are not the root's address are ignored (rule T2)
 * @throws PtmonError `bad-argument` for a bound that is not an address; `not-fetched` where remote memory must be fetched
 * first, with one address in each of the next `MISSING_LIMIT` frames: begin again, or at the end of the last range
 * received, which is whole; `corrupt-input` for more than `maxRepeats`, or
 * for millions of pages that map one frame
 */
export function mappedRanges(
  paging: Paging,
  memory: PhysicalMemory,
  root: bigint | number,
  options: EnumerateOptions = {},
): Generator<MappedRange, void, undefined> {
  const rootPa = rootOf(paging, root);
  const bounds = positionsOf(paging, options.from ?? 0n, options.to ?? VA_END);
  const { merge = true, maxRepeats = MAX_REPEATS } = options;
  return ranges(pieces(paging, memory, rootPa, { ...bounds, maxRepeats }), merge);
}

/** The positions of the pages that [from, to) touches, as `pieces` takes them. @throws PtmonError `bad-argument` */
export function positionsOf(
  paging: Paging,
  from: bigint | number,
  to: bigint | number,
): { readonly from: number; readonly to: number } {
  return { from: positionOf(paging, vpnOf(toU64(from, 'from'))), to: positionOf(paging, endVpn(to)) };
}

/** The same in pages, reused from leaf to leaf. */
type Run = Omit<Piece, 'step'>;

function* ranges(all: Iterable<Piece>, merge: boolean): Generator<MappedRange, void, undefined> {
  let pending: Run | undefined;
  let shared = 0;
  for (const { vpn, pages, gfn, step, slotPages, rights } of all) {
    if (step === 0) shared += pages;
    for (let done = 0; done < pages; ) {
      // Pages that share one frame are one range each, and so is each leaf where they are not to be merged.
      const leaf = step === 0 ? 1 : merge ? pages : slotPages - ((vpn + done) % slotPages);
      if (step === 0 && done > 0 && shared - pages + done >= MAX_SHARED) throw tooManyShared(gfn);
      const run = { vpn: vpn + done, pages: Math.min(leaf, pages - done), gfn: gfn + step * done, slotPages, rights };
      done += run.pages;
      if (pending !== undefined && merge && continues(pending, run)) {
        pending.pages += run.pages;
        continue;
      }
      if (pending !== undefined) yield rangeOf(pending);
      pending = run;
    }
  }
  if (pending !== undefined) yield rangeOf(pending);
}

function tooManyShared(gfn: number): PtmonError {
  const what = `more than ${MAX_SHARED} pages share a frame with their neighbour, here frame ${hex(gfn)}`;
  return new PtmonError('corrupt-input', `${what}: this is not an address space`, { gfn });
}

function continues(run: Run, next: Run): boolean {
  return (
    next.vpn === run.vpn + run.pages &&
    next.gfn === run.gfn + run.pages &&
    next.slotPages === run.slotPages &&
    next.rights === run.rights
  );
}

function rangeOf({ vpn, pages, gfn, slotPages, rights }: Run): MappedRange {
  return {
    va: vaOf(vpn, 0),
    byteLength: pages * PAGE_BYTES,
    pa: paOf(gfn),
    pageSize: slotPages * PAGE_BYTES,
    rights: rightsOf(rights),
  };
}

/** The page behind the last one that addresses below `to` touch. */
function endVpn(to: bigint | number): number {
  if (to === VA_END) return VPN_END;
  const end = toU64(to, 'to');
  return vpnOf(end) + (offsetOf(end) > 0 ? 1 : 0);
}

/** The position of page `vpn`; within the hole, that of the first page behind it. */
function positionOf(paging: Paging, vpn: number): number {
  return isCanonical(paging, vpn) ? foldVpn(paging, vpn) : paging.lowEnd;
}
