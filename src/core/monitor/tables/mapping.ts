/** Where the walks through a span of pages lead: to one contiguous piece of memory, to a table, or nowhere. */
import { ENTRY_LEAF, ENTRY_TABLE, kindOf, leafGfn, type LevelFormat } from '../../paging/format.ts';
import { RIGHTS_ALL, restrict, restrictLeaf } from '../../paging/rights.ts';

/** `gfn` where nothing backs a span, or a table does. */
export const UNBACKED = -1;
/** `tableGfn` where no table translates a span. */
export const NO_TABLE = -1;

/** Mutable and reused: comparing half a million pages makes a dozen of them. */
export class Mapping {
  /** Frame behind the span's first page; the others follow it. `UNBACKED` where there is none. */
  gfn = UNBACKED;
  /** Level of the leaf that maps the span. */
  level = 0;
  /** Rights of the walk so far (`rights.ts`). */
  rights = RIGHTS_ALL;
  /** The table that the walk continues in; `NO_TABLE` where it ends. */
  tableGfn = NO_TABLE;
  /** Its entries: the first two words of each record of `stride`. */
  words: Uint32Array | null = null;
  stride = 0;

  clear(): void {
    this.gfn = UNBACKED;
    this.level = 0;
    this.rights = RIGHTS_ALL;
    this.tableGfn = NO_TABLE;
    this.words = null;
  }

  get leadsNowhere(): boolean {
    return this.gfn === UNBACKED && this.tableGfn === NO_TABLE;
  }

  /** Whether both lead to the same memory, through pages of one size, with the same rights; or both nowhere. */
  equals(other: Mapping): boolean {
    if (this.gfn !== other.gfn) return false;
    return this.gfn === UNBACKED || (this.level === other.level && this.rights === other.rights);
  }

  /** Leads where an entry does. For a pointer that is only the rights: `setTable` adds the table. Returns the entry's kind. */
  setEntry(format: LevelFormat, lo: number, hi: number, rightsAbove: number): number {
    this.clear();
    const kind = kindOf(format, lo, hi);
    if (kind === ENTRY_LEAF) {
      this.gfn = leafGfn(format, lo, hi);
      this.level = format.level;
      this.rights = restrictLeaf(rightsAbove, format, lo, hi);
    } else if (kind === ENTRY_TABLE) {
      this.rights = restrict(rightsAbove, format, lo, hi);
    }
    return kind;
  }

  /** Leads to a table, with the rights that there are already. */
  setTable(tableGfn: number, words: Uint32Array, stride: number): void {
    this.tableGfn = tableGfn;
    this.words = words;
    this.stride = stride;
  }

  /** Leads where the page `pages` further leads, within the contiguous memory of another mapping. */
  setWithin(span: Mapping, pages: number): void {
    this.clear();
    if (span.gfn === UNBACKED) return;
    this.gfn = span.gfn + pages;
    this.level = span.level;
    this.rights = span.rights;
  }

  /** Low word of an entry of the table. */
  lowAt(position: number): number {
    return this.words![position * this.stride]!;
  }

  /** High word of an entry of the table. */
  highAt(position: number): number {
    return this.words![position * this.stride + 1]!;
  }

  copy(): Mapping {
    const copy = new Mapping();
    copy.gfn = this.gfn;
    copy.level = this.level;
    copy.rights = this.rights;
    return copy;
  }
}
