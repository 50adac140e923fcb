/** How much of an address space was looked at and how much could not be, so that a map says what it leaves out. */
import { PAGE_BYTES, paOf } from '../core/address/pa.ts';
import type { Pa, Va } from '../core/address/types.ts';
import { highWord, lowWord, vaOf, vpnOf } from '../core/address/va.ts';
import { foldVpn, type Paging, tableGfn, unfoldVpn } from '../core/paging/format.ts';
import type { Gap } from '../core/paging/pieces.ts';
import type { Walk } from '../core/paging/walk.ts';

/** Addresses below a table that is not in memory, or below an entry that has a reserved bit set. */
export interface SpaceGap {
  readonly reason: Gap['reason'];
  readonly va: Va;
  readonly byteLength: number;
  /** Of the table, or of the table that has the entry: 1 (PT) to 5 (PML5). */
  readonly level: number;
  /** Physical address of the table, or of the entry. */
  readonly pa: Pa;
}

/** Gaps that are named. */
const MAX_NAMED = 16;
/** Gaps that are told from each other; beyond, one that is met twice counts twice. */
const MAX_KNOWN = 2 ** 16;

export class GapTotals {
  readonly #known = new Set<string>();
  readonly #named: SpaceGap[] = [];
  #tables = 0;
  #entries = 0;
  #byteLength = 0;
  #mappedPages = 0;
  readonly #missing: { readonly first: number; readonly end: number }[] = [];

  addMapped(pages: number): void {
    this.#mappedPages += pages;
  }

  add({ reason, vpn, pages, level, pa }: Gap): void {
    const key = `${level} ${pa} ${vpn}`;
    if (this.#known.has(key)) return;
    if (this.#known.size < MAX_KNOWN) this.#known.add(key);
    if (reason === 'no-memory') {
      this.#tables++;
      this.#byteLength += pages * PAGE_BYTES;
      if (this.#missing.length < MAX_KNOWN) this.#missing.push({ first: vpn, end: vpn + pages });
    } else {
      this.#entries++;
    }
    if (this.#named.length < MAX_NAMED) {
      this.#named.push({ reason, va: vaOf(vpn, 0), byteLength: pages * PAGE_BYTES, level, pa: pa as Pa });
    }
  }

  /** Adds the table that a walk does not find, if that is where it ends. */
  addWalk(paging: Paging, found: Walk): void {
    if (found.translates || found.reason !== 'no-memory' || found.level === null) return;
    const { level, root, steps, va } = found;
    const { slots, slotPages } = paging.byLevel[level]!;
    const pages = slots * slotPages;
    const page = foldVpn(paging, vpnOf(va));
    const last = steps.at(-1);
    const pa =
      last === undefined
        ? root
        : paOf(tableGfn(paging.byLevel[last.level]!, lowWord(last.value), highWord(last.value)));
    this.add({ reason: 'no-memory', vpn: unfoldVpn(paging, page - (page % pages)), pages, level, pa });
  }

  /** Pages of 4 KiB that are mapped. */
  get mappedPages(): number {
    return this.#mappedPages;
  }

  /** Tables that are not in memory: whatever they map is left out. */
  get missingTables(): number {
    return this.#tables;
  }

  /** The pages below those tables, ascending; of the first 65,536 of them. */
  get missing(): readonly { readonly first: number; readonly end: number }[] {
    return this.#missing;
  }

  /** Addresses below those tables, in bytes, mapped or not. */
  get missingBytes(): number {
    return this.#byteLength;
  }

  /** Entries with a reserved bit set: the processor faults there. */
  get reservedEntries(): number {
    return this.#entries;
  }

  /** The first of both, in the order in which they were added: that of their addresses, but for walks. */
  get named(): readonly SpaceGap[] {
    return this.#named;
  }
}

/** Goes through what is missing in ascending order, as it becomes known. */
export class GapCursor {
  readonly #totals: GapTotals;
  #next = 0;

  constructor(totals: GapTotals) {
    this.#totals = totals;
  }

  /** The parts of some pages that are in no gap: from which of them on, and how many. To be asked in ascending order. */
  *without(vpn: number, pages: number): Generator<readonly [from: number, count: number], void, undefined> {
    const { missing } = this.#totals;
    const end = vpn + pages;
    while (this.#next < missing.length && missing[this.#next]!.end <= vpn) this.#next++;
    let at = vpn;
    for (let index = this.#next; index < missing.length && missing[index]!.first < end; index++) {
      const gap = missing[index]!;
      if (gap.first > at) yield [at - vpn, gap.first - at];
      at = Math.max(at, gap.end);
    }
    if (at < end) yield [at - vpn, end - at];
  }
}
