/**
 * What an address space maps, in ascending order (rule T1's tables, all of them instead of one walk).
 *
 * An absent entry is stepped over with everything below it, so a hole costs one read whatever its span. Tables outside RAM,
 * reserved entries and absent ones map nothing. Depth is bounded by the mode's levels, so cyclic tables end too: a self-map
 * shows every table once more, as a page. But a root whose every slot names itself maps the whole address space, page by
 * page (2^36 of them in 4-level paging). That is what the processor sees; stop the iteration, or give bounds, where it is
 * too much.
 *
 * Positions are folded page numbers: the upper half directly behind the lower, so that the non-canonical hole has none.
 */
import { gfnOf, PAGE_BYTES, paOf } from '../address/pa.ts';
import type { Pa, Va } from '../address/types.ts';
import { hex, offsetOf, toU64, vaOf, vpnOf } from '../address/va.ts';
import { PtmonError } from '../error.ts';
import { type PhysicalMemory, READ_NOT_FETCHED, READ_OK } from '../memory/physical-memory.ts';
import {
  ENTRY_LEAF,
  ENTRY_TABLE,
  foldVpn,
  isCanonical,
  kindOf,
  leafGfn,
  type LevelFormat,
  type Paging,
  rootOf,
  slotOf,
  tableGfn,
  unfoldVpn,
} from './format.ts';
import { RIGHTS_ALL, type Rights, restrict, restrictLeaf, rightsOf } from './rights.ts';

/** Frames that one `not-fetched` error asks for at most: 4 MiB. */
export const MISSING_LIMIT = 1024;

const VA_END = 2n ** 64n;
const VPN_END = 2 ** 52;

export interface EnumerateOptions {
  /** Every page that [from, to) touches; the whole address space unless told. Neither bound needs to be canonical. */
  readonly from?: bigint | number;
  /** Exclusive, up to 2^64. */
  readonly to?: bigint | number;
  /** One range for leaves that continue each other, or one for each leaf. True unless told. */
  readonly merge?: boolean;
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

/** The same in pages, reused from leaf to leaf. */
interface Run {
  vpn: number;
  pages: number;
  gfn: number;
  slotPages: number;
  rights: number;
}

/** A table that is being read. */
interface OpenTable {
  readonly format: LevelFormat;
  readonly pa: number;
  /** Position of the page that its slot 0 begins with. */
  readonly start: number;
  /** What the entries above it allow. */
  readonly rights: number;
  slot: number;
}

/**
 * The mapped ranges of one address space, ascending.
 *
 * @param root a CR3 value; the bits that are not the root's address are ignored (rule T2)
 * @throws PtmonError `bad-argument` for a bound that is not an address; `not-fetched` where remote memory must be fetched
 * first, with one address in each of the next `MISSING_LIMIT` frames: begin again, or at the end of the last range
 * received, which is whole
 */
export function mappedRanges(
  paging: Paging,
  memory: PhysicalMemory,
  root: bigint | number,
  options: EnumerateOptions = {},
): Generator<MappedRange, void, undefined> {
  const rootPa = rootOf(paging, root);
  const from = positionOf(paging, firstVpn(options.from ?? 0n));
  const to = positionOf(paging, endVpn(options.to ?? VA_END));
  return ranges(leaves(paging, memory, rootPa, from, to), options.merge ?? true);
}

function* ranges(runs: Iterable<Run>, merge: boolean): Generator<MappedRange, void, undefined> {
  let pending: Run | undefined;
  for (const run of runs) {
    if (pending !== undefined) {
      if (merge && continues(pending, run)) {
        pending.pages += run.pages;
        continue;
      }
      yield rangeOf(pending);
    }
    pending = { ...run };
  }
  if (pending !== undefined) yield rangeOf(pending);
}

/** Every leaf within the positions [from, to), clipped to them. The object yielded is the same each time. */
function* leaves(
  paging: Paging,
  memory: PhysicalMemory,
  rootPa: number,
  from: number,
  to: number,
): Generator<Run, void, undefined> {
  const { entryBytes } = paging.mode;
  const entry = new Uint32Array(2);
  const leaf: Run = { vpn: 0, pages: 0, gfn: 0, slotPages: 0, rights: 0 };
  const missing = new MissingTables();
  const open: OpenTable[] = [];
  if (from < to) open.push(openTable(paging.levels[0]!, rootPa, 0, RIGHTS_ALL, from));

  while (open.length > 0) {
    const table = open.at(-1)!;
    const { format } = table;
    const position = table.start + table.slot * format.slotPages;
    if (table.slot === format.slots || position >= to) {
      open.pop();
      continue;
    }
    const entryPa = table.pa + table.slot * entryBytes;
    const outcome = memory.readEntry(entryPa, entryBytes, entry);
    if (outcome !== READ_OK) {
      // A table is in one frame: what is true of this entry is true of the rest of them.
      open.pop();
      if (outcome === READ_NOT_FETCHED && missing.add(entryPa)) break;
      continue;
    }
    table.slot++;

    const lo = entry[0]!;
    const hi = entry[1]!;
    const kind = kindOf(format, lo, hi);
    if (kind === ENTRY_TABLE) {
      const below = paging.byLevel[format.level - 1]!;
      const pa = paOf(tableGfn(format, lo, hi));
      // Once something is missing, leaves no longer matter and no table needs to be looked through twice. No bound cut it
      // the first time: `from` cuts tables before anything can be missing, and none comes behind one that `to` cuts.
      if (missing.found && !missing.firstVisit(below.level, pa)) continue;
      open.push(openTable(below, pa, position, restrict(table.rights, format, lo, hi), from));
    } else if (kind === ENTRY_LEAF && !missing.found) {
      const first = Math.max(position, from);
      leaf.vpn = unfoldVpn(paging, first);
      leaf.pages = Math.min(position + format.slotPages, to) - first;
      leaf.gfn = leafGfn(format, lo, hi) + (first - position);
      leaf.slotPages = format.slotPages;
      leaf.rights = restrictLeaf(table.rights, format, lo, hi);
      yield leaf;
    }
  }
  missing.report(rootPa);
}

/** A table about to be read, at the slot that holds `from` where that is not its first. */
function openTable(format: LevelFormat, pa: number, start: number, rights: number, from: number): OpenTable {
  return { format, pa, start, rights, slot: slotOf(format, Math.max(start, from)) };
}

/** What must be fetched before an enumeration can go on. */
class MissingTables {
  readonly #addresses = new Map<number, Pa>();
  readonly #visited = new Set<number>();

  get found(): boolean {
    return this.#addresses.size > 0;
  }

  /** Notes one address for each frame. Answers whether that is enough for one error. */
  add(entryPa: number): boolean {
    const gfn = gfnOf(entryPa);
    if (!this.#addresses.has(gfn)) this.#addresses.set(gfn, entryPa as Pa);
    return this.#addresses.size >= MISSING_LIMIT;
  }

  /** Whether this table is met as one of this level for the first time. */
  firstVisit(level: number, tablePa: number): boolean {
    // Tables below the root are 4 KiB aligned: the low bits are free to tell levels apart.
    const key = tablePa + level;
    if (this.#visited.has(key)) return false;
    this.#visited.add(key);
    return true;
  }

  /** @throws PtmonError `not-fetched` if anything is missing */
  report(root: number): void {
    if (!this.found) return;
    const missing = [...this.#addresses.values()];
    throw new PtmonError(
      'not-fetched',
      `the tables of root ${hex(root)} are not all fetched yet; missing: ${missing.length}, the first at ${hex(missing[0]!)}`,
      { root, missing },
    );
  }
}

function continues(run: Run, next: Run): boolean {
  return (
    next.vpn === run.vpn + run.pages &&
    next.gfn === run.gfn + run.pages &&
    next.slotPages === run.slotPages &&
    next.rights === run.rights
  );
}

function rangeOf(run: Run): MappedRange {
  return {
    va: vaOf(run.vpn, 0),
    byteLength: run.pages * PAGE_BYTES,
    pa: paOf(run.gfn),
    pageSize: run.slotPages * PAGE_BYTES,
    rights: rightsOf(run.rights),
  };
}

function firstVpn(from: bigint | number): number {
  return vpnOf(toU64(from, 'from'));
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
