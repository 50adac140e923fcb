/**
 * What an address space maps, in ascending order, in as few pieces as it takes (rule T1's tables, all of them instead of one walk).
 *
 * An absent entry is stepped over with everything below it, so a hole costs one read whatever its span. Tables outside RAM,
 * reserved entries and absent ones map nothing. What lies below a table does not depend on where it is met, so a table that maps
 * nothing, or that is one piece from its first slot to its last, is read once: the shadow memory of a kernel with KASAN is
 * millions of paths to the same few tables.
 *
 * Depth is bounded by the mode's levels, so cyclic tables end too: a self-map shows every table once more, as a page. But a root
 * whose slots name itself maps the whole address space, page by page (2^36 of them in 4-level paging). That is what the processor
 * sees. `maxRepeats` bounds what is read of it.
 *
 * Positions are folded page numbers: the upper half directly after the lower, so that the non-canonical hole has none.
 */
import { paOf } from '../address/pa.ts';
import { hex } from '../address/va.ts';
import { PtmonError } from '../error.ts';
import { type PhysicalMemory, READ_NOT_FETCHED, READ_OK } from '../memory/physical-memory.ts';
import {
  ENTRY_ABSENT,
  ENTRY_LEAF,
  ENTRY_RESERVED,
  ENTRY_TABLE,
  kindOf,
  leafGfn,
  type LevelFormat,
  type Paging,
  slotOf,
  tableGfn,
  unfoldVpn,
} from './format.ts';
import { MissingTables } from './missing-tables.ts';
import { combine, RIGHTS_ALL, restrict, restrictLeaf } from './rights.ts';

/** Pages that follow each other, mapped by leaves of one size and with the same rights, to frames that do, or all to one frame. */
export interface Piece {
  vpn: number;
  pages: number;
  /** Frame of the first page. */
  gfn: number;
  /** From the frame of one page to that of the next: 1, or 0 where all have the same. A single page has 1. */
  step: 0 | 1;
  /** 4 KiB pages that each leaf maps. */
  slotPages: number;
  /** As `rights.ts` packs them. */
  rights: number;
}

/** Addresses of which nothing can be known, or that the processor faults on because of an entry that makes no sense. */
export interface Gap {
  /** The table is not in memory, or the entry has a reserved bit set. */
  readonly reason: 'no-memory' | 'reserved-bit';
  readonly vpn: number;
  readonly pages: number;
  /** Of the table, or of the table that has the entry. */
  readonly level: number;
  /** Physical address of the table, or of the entry. */
  readonly pa: number;
}

export interface PieceOptions {
  /** Positions [from, to); default to the whole address space. */
  readonly from?: number;
  readonly to?: number;
  /** How often a table may be read that was read before. Defaults to `MAX_REPEATS`. */
  readonly maxRepeats?: number;
  /** Hears of each gap where it is met; of a table that is met again and again, at least once. */
  readonly onGap?: (gap: Gap) => void;
  /** Receives each entry that is not present and not zero: the guest's kernel keeps something in it. May receive one twice. */
  readonly onKept?: (entry: KeptEntry) => void;
}

/** An entry that is not present, and not zero. */
export interface KeptEntry {
  /** First page that the entry covers, and how many it covers. */
  readonly vpn: number;
  readonly pages: number;
  /** Of the table that has it. */
  readonly level: number;
  readonly lo: number;
  readonly hi: number;
}

/**
 * Processes that share the page tables of large mappings use some of them twice. More repeats than this are tables that point at each
 * other: a handful of them can be billions of paths.
 */
export const MAX_REPEATS = 2 ** 13;

/** What a table is from its first slot to its last. Its rights are those that its own entries and those below it leave. */
type Summary = Block | typeof EMPTY | typeof MIXED;
type Block = Omit<Piece, 'vpn'>;
const EMPTY = 'empty';
const MIXED = 'mixed';

/** A table that is being read. */
interface OpenTable {
  readonly format: LevelFormat;
  readonly pa: number;
  /** Position of the page that its slot 0 begins with. */
  readonly start: number;
  /** What the entries above it allow. */
  readonly rights: number;
  slot: number;
  /** Of the slots before `slot`; undefined where they were not all read. */
  summary: Summary | undefined;
  /** What the entry allows that led to the table that is open below this one. */
  entryRights: number;
}

/** After so many tables a piece of no pages is yielded, so that the caller can report progress and stop. */
const TABLES_PER_SIGN = 256;
const NOTHING: Piece = { vpn: 0, pages: 0, gfn: 0, step: 1, slotPages: 1, rights: 0 };

/** Summaries kept at most: 100 MB of them. Further tables are read each time that they are met. */
const MAX_SUMMARIES = 2 ** 20;

/**
 * The pieces of one address space, ascending, and now and then one of no pages, as a sign of progress. The object that is yielded
 * is reused.
 *
 * @param root physical address of the top-level table
 * @throws PtmonError `not-fetched` where remote memory must be fetched first, with one address in each of the next frames: begin
 *   again, or at the end of the last piece received, which may continue there; `corrupt-input` for more than `maxRepeats`
 */
export function* pieces(
  paging: Paging,
  memory: PhysicalMemory,
  root: number,
  { from = 0, to = Infinity, maxRepeats = MAX_REPEATS, onGap, onKept }: PieceOptions = {},
): Generator<Piece, void, undefined> {
  const { entryBytes } = paging.mode;
  const entry = new Uint32Array(2);
  const piece: Piece = { vpn: 0, pages: 0, gfn: 0, step: 1, slotPages: 0, rights: 0 };
  const next: Piece = { ...piece };
  const summaries = new Map<number, Summary>();
  const missing = new MissingTables();
  const open: OpenTable[] = [];
  let tables = 0;
  let repeats = 0;
  const gap = (reason: Gap['reason'], { level }: LevelFormat, pa: number, span: { start: number; pages: number }) => {
    const first = Math.max(span.start, from);
    const count = Math.min(span.start + span.pages, to) - first;
    onGap?.({ reason, vpn: unfoldVpn(paging, first), pages: count, level, pa });
  };
  const topFormat = paging.levels[0]!;
  if (from < to) open.push(openTable({ format: topFormat, pa: root, start: 0, rights: RIGHTS_ALL }, from));

  while (open.length > 0) {
    const table = open.at(-1)!;
    const { format } = table;
    const position = table.start + table.slot * format.slotPages;
    if (table.slot === format.slots || position >= to) {
      open.pop();
      const summary = table.slot === format.slots ? table.summary : undefined;
      if (summary !== undefined && summaries.size < MAX_SUMMARIES) summaries.set(table.pa + format.level, summary);
      if (open.length > 0) addTable(open.at(-1)!, summary);
      continue;
    }
    const entryPa = table.pa + table.slot * entryBytes;
    const outcome = memory.readEntry(entryPa, entryBytes, entry);
    if (outcome !== READ_OK) {
      // A table is in one frame: what is true of this entry is true of the rest of them.
      open.pop();
      if (outcome === READ_NOT_FETCHED) {
        if (piece.pages > 0) yield piece;
        piece.pages = 0;
        if (missing.add(entryPa)) break;
      } else {
        gap('no-memory', format, table.pa, { start: table.start, pages: format.slotPages * format.slots });
      }
      if (open.length > 0) addTable(open.at(-1)!, outcome === READ_NOT_FETCHED ? undefined : EMPTY);
      continue;
    }
    table.slot++;

    const lo = entry[0]!;
    const hi = entry[1]!;
    const kind = kindOf(format, lo, hi);
    // Positions from here on are behind the table's; `next` is what of them is mapped, where that is known at once.
    let isMapped = false;
    if (kind === ENTRY_TABLE) {
      const below = paging.byLevel[format.level - 1]!;
      const pa = paOf(tableGfn(format, lo, hi));
      const summary = missing.found ? undefined : summaries.get(pa + below.level);
      table.entryRights = restrict(RIGHTS_ALL, format, lo, hi);
      if (summary === undefined || summary === MIXED) {
        // Once something is missing, pages no longer matter and no table needs to be read twice. No bound cut it the first
        // time: `from` cuts tables before anything can be missing, and none comes after one that `to` cuts.
        if (missing.found && !missing.firstVisit(below.level, pa)) continue;
        if (summary === MIXED && ++repeats > maxRepeats) throw tooManyRepeats(root, maxRepeats);
        if (++tables % TABLES_PER_SIGN === 0) yield NOTHING;
        const rights = restrict(table.rights, format, lo, hi);
        open.push(openTable({ format: below, pa, start: position, rights }, from));
        continue;
      }
      addTable(table, summary);
      if (summary !== EMPTY) {
        isMapped = true;
        next.gfn = summary.gfn;
        next.step = summary.step;
        next.slotPages = summary.slotPages;
        next.rights = combine(restrict(table.rights, format, lo, hi), summary.rights);
      }
    } else if (kind === ENTRY_LEAF) {
      isMapped = true;
      next.pages = format.slotPages;
      next.gfn = leafGfn(format, lo, hi);
      next.step = 1;
      next.slotPages = format.slotPages;
      next.rights = restrictLeaf(RIGHTS_ALL, format, lo, hi);
      addSlot(table, next);
      next.rights = combine(table.rights, next.rights);
    } else {
      if (kind === ENTRY_ABSENT && onKept !== undefined && (lo | hi) !== 0) {
        onKept({ vpn: unfoldVpn(paging, position), pages: format.slotPages, level: format.level, lo, hi });
      }
      if (kind === ENTRY_RESERVED) gap('reserved-bit', format, entryPa, { start: position, pages: format.slotPages });
      addSlot(table, EMPTY);
    }
    if (!isMapped || missing.found) continue;

    const first = Math.max(position, from);
    next.vpn = unfoldVpn(paging, first);
    next.pages = Math.min(position + format.slotPages, to) - first;
    next.gfn += next.step * (first - position);
    if (next.pages === 1) next.step = 1;
    if (next.vpn === piece.vpn + piece.pages && join(piece, next)) continue;
    if (piece.pages > 0) yield piece;
    Object.assign(piece, next);
  }
  missing.report(root);
  if (piece.pages > 0) yield piece;
}

/** A table about to be read, at the slot of `from` where that is not its first. */
function openTable(table: Pick<OpenTable, 'format' | 'pa' | 'start' | 'rights'>, from: number): OpenTable {
  const slot = slotOf(table.format, Math.max(table.start, from));
  return { ...table, slot, summary: slot === 0 ? EMPTY : undefined, entryRights: 0 };
}

/** Adds the table below the last slot to what is known of the slots of this one. */
function addTable(table: OpenTable, below: Summary | undefined): void {
  if (typeof below === 'object') addSlot(table, { ...below, rights: combine(table.entryRights, below.rights) });
  else addSlot(table, below);
}

function addSlot(table: OpenTable, slot: Summary | undefined): void {
  const { summary } = table;
  if (summary === undefined || slot === undefined) table.summary = undefined;
  else if (table.slot === 1) table.summary = typeof slot === 'object' ? { ...slot } : slot;
  else if (summary === MIXED || slot === MIXED) table.summary = MIXED;
  else if (summary === EMPTY || slot === EMPTY) table.summary = summary === slot ? EMPTY : MIXED;
  else if (!join(summary, slot)) table.summary = MIXED;
}

/** Makes one block of two, where they can be. */
function join(block: Block, next: Block): boolean {
  if (block.rights !== next.rights || block.slotPages !== next.slotPages || !goesOn(block, next)) return false;
  block.step = next.gfn === block.gfn ? 0 : 1;
  block.pages += next.pages;
  return true;
}

/** Whether the frames of the second go on with those of the first: the next ones, or the same one again. */
export function goesOn(block: Omit<Block, 'rights'>, next: Omit<Block, 'rights'>): boolean {
  if (next.gfn === block.gfn) return isOneFrame(block) && isOneFrame(next);
  return next.gfn === block.gfn + block.pages && isAscending(block) && isAscending(next);
}

function isOneFrame({ step, pages }: Pick<Block, 'step' | 'pages'>): boolean {
  return step === 0 || pages === 1;
}

function isAscending({ step, pages }: Pick<Block, 'step' | 'pages'>): boolean {
  return step === 1 || pages === 1;
}

function tooManyRepeats(root: number, maxRepeats: number): PtmonError {
  return new PtmonError(
    'corrupt-input',
    `the tables of root ${hex(root)} lead to each other more than ${maxRepeats} times: this is not an address space`,
    { root },
  );
}
