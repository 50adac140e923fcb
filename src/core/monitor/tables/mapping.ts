/** Where the walks through a span of pages lead: to one contiguous piece of memory, to a table, or nowhere. */
import { ENTRY_LEAF, ENTRY_TABLE, kindOf, leafGfn, type LevelFormat } from '../../paging/format.ts';
import { RIGHTS_ALL, restrict, restrictLeaf } from '../../paging/rights.ts';
import type { AddressSpace } from './address-space.ts';
import type { TableFrame } from './protected-tables.ts';
import type { TableNode } from './table-node.ts';

/** `gfn` where nothing is behind a span, or a table is. */
export const UNBACKED = -1;

/** Changed in place and reused: one comparison of half a million pages makes a dozen of them. */
export class Mapping {
  /** Frame behind the span's first page; the rest follow it. `UNBACKED` where there is none. */
  gfn = UNBACKED;
  /** Level of the leaf that maps the span. */
  level = 0;
  /** Rights of the walk so far (`rights.ts`). */
  rights = RIGHTS_ALL;
  /** The table that the walk goes on through, with its entries: the first words of each record of `stride`. */
  frame: TableFrame | null = null;
  words: Uint32Array | null = null;
  stride = 0;

  clear(): void {
    this.gfn = UNBACKED;
    this.level = 0;
    this.rights = RIGHTS_ALL;
    this.frame = null;
    this.words = null;
  }

  get isNothing(): boolean {
    return this.gfn === UNBACKED && this.frame === null;
  }

  /** Whether both lead to the same memory, through pages of one size, with the same rights; or both nowhere. */
  leadsLike(other: Mapping): boolean {
    if (this.gfn !== other.gfn) return false;
    return this.gfn === UNBACKED || (this.level === other.level && this.rights === other.rights);
  }

  /** Leads through the table that backs a node. */
  setTable(frame: TableFrame | null, words: Uint32Array, stride: number, rights: number): void {
    this.clear();
    this.rights = rights;
    if (frame === null) return;
    this.frame = frame;
    this.words = words;
    this.stride = stride;
  }

  /** Leads where an entry does. Of a table it takes the rights; the caller adds the table itself. Answers the entry's kind. */
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

  /** Leads where the page `pages` further leads, within the piece of memory of another mapping. */
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

/** The rights that the entries above a node leave to it. */
export function rightsAbove(node: TableNode): number {
  const { parent } = node;
  if (parent === null) return RIGHTS_ALL;
  const position = parent.positionOf(node.firstPage);
  return restrict(rightsAbove(parent), parent.format, parent.lowAt(position), parent.highAt(position));
}

/** Where one page leads by what was last read of its walk, which must be held. */
export function translate(space: AddressSpace, page: number, into: Mapping): void {
  let node = space.top;
  let rights = RIGHTS_ALL;
  for (;;) {
    const { format, frame } = node;
    const position = node.positionOf(page);
    if (frame === null || position < 0) return into.clear();
    const kind = into.setEntry(format, node.lowAt(position), node.highAt(position), rights);
    if (kind === ENTRY_LEAF) into.gfn += page % format.slotPages;
    if (kind !== ENTRY_TABLE) return;
    const child = node.childAt(position);
    if (child === null) return into.clear();
    node = child;
    rights = into.rights;
  }
}
