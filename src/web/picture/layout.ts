/** Where the cells of an area are: rows of equal squares, in the order of addresses. A cell is a page, a page table or a directory. */
import { type Kind, KINDS, kindOf, leafPages, type Look } from './look.ts';
import type { RunMap } from './runs.ts';
import type { Area } from './scene.ts';

/** 4 KiB pages of a cell, by what one cell is. */
export const ZOOMS = [
  { name: 'page', pages: 1 },
  { name: 'page table', pages: 512 },
  { name: 'directory', pages: 512 ** 2 },
  { name: 'directory pointer table', pages: 512 ** 3 },
] as const;

/** An area in which a cell would be a page is drawn by page tables from so many cells on. */
const MAX_CELLS = 131_072;

/** The finest zoom, from `wanted` on, at which an area has few enough cells. */
export function zoomFor(area: Pick<Area, 'pages'>, wanted = 0): number {
  const fits = (zoom: number) => area.pages / ZOOMS[zoom]!.pages <= MAX_CELLS;
  const found = ZOOMS.findIndex((_, zoom) => zoom >= wanted && fits(zoom));
  return found < 0 ? ZOOMS.length - 1 : found;
}

/** How an area is cut into cells. The first cell begins at a multiple of its size, so that a cell is one table. */
export interface Grid {
  readonly cellPages: number;
  /** Page number at which cell 0 begins. */
  readonly start: number;
  readonly cells: number;
}

export function gridOf({ vpn, pages }: Pick<Area, 'vpn' | 'pages'>, zoom: number): Grid {
  const cellPages = ZOOMS[zoom]!.pages;
  const start = Math.floor(vpn / cellPages) * cellPages;
  return { cellPages, start, cells: Math.ceil((vpn + pages - start) / cellPages) };
}

/** What is drawn of a cell. */
export interface Cell {
  readonly kind: Kind;
  /** Of the page that gives the kind; 0 for an absent one. */
  readonly look: Look;
  /** 4 KiB pages of it that are mapped or swapped. */
  readonly pages: number;
  /** The largest leaf, in 4 KiB pages. */
  readonly leaf: number;
}

const ABSENT: Cell = { kind: 'absent', look: 0, pages: 0, leaf: 1 };
const RANK = new Map(KINDS.map((kind, rank) => [kind, rank]));

/** The cells [from, to) of an area. */
export function cellsOf(map: RunMap, { start, cellPages }: Grid, from: number, to: number): Cell[] {
  const cells = Array.from({ length: Math.max(0, to - from) }, () => ABSENT);
  const first = start + from * cellPages;
  for (const [vpn, pages, look] of map.in(first, start + to * cellPages)) {
    const kind = kindOf(look);
    const leaf = leafPages(look);
    for (let at = vpn; at < vpn + pages; ) {
      const index = Math.floor((at - first) / cellPages);
      const end = Math.min(vpn + pages, first + (index + 1) * cellPages);
      const before = cells[index]!;
      const wins = before === ABSENT || RANK.get(kind)! > RANK.get(before.kind)!;
      const count = before.pages + end - at;
      cells[index] = wins
        ? { kind, look, pages: count, leaf: Math.max(leaf, before.leaf) }
        : { ...before, pages: count, leaf: Math.max(leaf, before.leaf) };
      at = end;
    }
  }
  return cells;
}

/** Pixels: squares with their gap, in as many columns as fit. */
export interface CellRows {
  readonly columns: number;
  readonly rows: number;
  /** From the left of a cell to that of the next. */
  readonly pitch: number;
}

export function rowsOf(cells: number, width: number, pitch: number): CellRows {
  const columns = Math.max(1, Math.floor(width / pitch));
  return { columns, rows: Math.ceil(cells / columns), pitch };
}

/** The cell at a point; undefined outside of all. */
export function cellAt({ columns, pitch }: CellRows, cells: number, x: number, y: number): number | undefined {
  const column = Math.floor(x / pitch);
  const index = Math.floor(y / pitch) * columns + column;
  return x < 0 || y < 0 || column >= columns || index >= cells ? undefined : index;
}

/** Pixels, from the largest to the smallest, that cells of areas which fit into the window may have. */
const PITCHES = [14, 12, 10, 8, 7];
/** Where they do not fit, the page scrolls: up to so many cells with this pitch. */
const SCROLLED = [
  { cells: 30_000, pitch: 8 },
  { cells: 60_000, pitch: 5 },
] as const;

/** The largest cells with which all areas fit into a height; for areas that do not, those that are small enough to scroll through. */
export function pitchFor(cellCounts: readonly number[], width: number, height: number): number {
  for (const pitch of PITCHES) {
    const total = cellCounts.reduce((sum, cells) => sum + rowsOf(cells, width, pitch).rows * pitch, 0);
    if (total <= height) return pitch;
  }
  const all = cellCounts.reduce((sum, cells) => sum + cells, 0);
  return SCROLLED.find(({ cells }) => all <= cells)?.pitch ?? 3;
}
