/** One area of the shown address space: its heading and its cells. */
import { addressText, bytesName, kindOf, rightsText, sizeName } from '../../picture/look.ts';
import { type Cell, cellsOf, type Grid, gridOf, ZOOMS } from '../../picture/layout.ts';
import { differences, frameAt, totalsOf } from '../../picture/runs.ts';
import type { Area } from '../../picture/scene.ts';
import type { SpaceState } from '../../picture/timeline.ts';
import type { CellStyle } from '../draw/cell-canvas.ts';
import { Cells } from '../draw/cells.tsx';
import type { Model } from '../model.ts';
import { pixelOf, type Theme } from '../draw/theme.ts';

export interface AreaBlockProps {
  readonly model: Model;
  readonly space: SpaceState;
  readonly area: Area;
  readonly zoom: number;
  readonly pitch: number;
  readonly width: number;
  readonly onHover: (vpn: number | undefined, at: { readonly x: number; readonly y: number }) => void;
}

export function AreaBlock({ model, space, area, zoom, pitch, width, onHover }: AreaBlockProps) {
  const grid = gridOf(area, zoom);
  const runs = space.map.in(area.vpn, area.vpn + area.pages);
  const { mapped, swapped, large } = totalsOf(runs);
  const marked = markedCells(model, space, grid);
  const selected = model.selection;
  const open =
    selected !== undefined && selected.space === model.space && isInside(area, selected.vpn)
      ? Math.floor((selected.vpn - grid.start) / grid.cellPages)
      : undefined;
  const name = area.name === '' ? 'no name' : area.name;
  const facts = [
    bytesName(area.pages * 4096),
    mapped === 0 ? 'nothing in memory' : `${bytesName(mapped * 4096)} in memory`,
    ...(large > 0 ? [`${bytesName(large * 4096)} in large pages`] : []),
    ...(swapped > 0 ? [`${bytesName(swapped * 4096)} swapped`] : []),
    ...(zoom > 0 ? [`a cell is a ${ZOOMS[zoom]!.name}`] : []),
  ].join(' · ');
  return (
    <section class="area" aria-label={name} data-start={grid.start} data-cell-pages={grid.cellPages}>
      <h3>
        <span class="name" title={name}>
          {name}
        </span>
        {area.rights !== undefined && <code>{area.rights}</code>}
        <code class="address">{addressText(area.vpn)}</code>
        <span class="facts">{facts}</span>
      </h3>
      <Cells
        label={`${name}, ${facts}`}
        cells={grid.cells}
        pitch={pitch}
        width={width}
        version={`${space.root} ${area.vpn} ${area.pages} ${zoom} ${[...marked].join()} ${model.base?.timeMs}`}
        styles={(from, to, theme) =>
          cellsOf(space.map, grid, from, to).map((cell, at) => styleOf(cell, marked.has(from + at), theme))
        }
        subscribe={(changed) =>
          model.onPages((vpn, pages) => {
            const from = Math.max(0, Math.floor((vpn - grid.start) / grid.cellPages));
            const to = Math.min(grid.cells, Math.ceil((vpn + pages - grid.start) / grid.cellPages));
            if (from < to) changed(from, to);
          })
        }
        onHover={(cell, at) => onHover(cell === undefined ? undefined : pageOf(space, area, grid, cell), at)}
        onOpen={(cell) => model.select({ space: model.space, vpn: pageOf(space, area, grid, cell) })}
        describe={(cell) => pageWords(space, pageOf(space, area, grid, cell))}
        open={open}
      />
    </section>
  );
}

/** `0x7f…000: 4K writable, frame 0x1234000`. */
export function pageWords(space: SpaceState, vpn: number): string {
  const run = space.map.at(vpn);
  if (run === undefined) return `${addressText(vpn)}: absent`;
  const look = run[2];
  if (run[3] < 0) return `${addressText(vpn)}: swapped out`;
  const frame = addressText(frameAt(run, vpn));
  return `${addressText(vpn)}: ${sizeName(look)} ${rightsText(look)} ${kindOf(look)}, frame ${frame}`;
}

function isInside({ vpn, pages }: Area, at: number): boolean {
  return at >= vpn && at < vpn + pages;
}

/** Of a cell of several pages, the first that is there. */
function pageOf(space: SpaceState, area: Area, { start, cellPages }: Grid, cell: number): number {
  const from = Math.max(area.vpn, start + cell * cellPages);
  return space.map.in(from, Math.min(area.vpn + area.pages, from + cellPages))[0]?.[0] ?? from;
}

/** Cells that differ from the moment that the page compares with. */
function markedCells(model: Model, space: SpaceState, { start, cellPages, cells }: Grid): ReadonlySet<number> {
  const marked = new Set<number>();
  const map = model.base?.maps[model.space];
  if (map === undefined) return marked;
  const end = start + cells * cellPages;
  for (const { vpn, pages } of differences(map.in(start, end), space.map.in(start, end))) {
    const last = Math.floor((vpn + pages - 1 - start) / cellPages);
    for (let cell = Math.floor((vpn - start) / cellPages); cell <= last; cell++) marked.add(cell);
  }
  return marked;
}

/** Larger pages are darker, and their cells join. */
const SHADES = [
  [512 ** 2, 0.55],
  [512, 0.75],
  [1, 1],
] as const;

function styleOf({ kind, leaf }: Cell, isMarked: boolean, theme: Theme): CellStyle {
  const shade = SHADES.find(([size]) => leaf >= size)![1];
  return { color: pixelOf(theme.kinds[kind], kind === 'absent' ? 1 : shade), isSolid: leaf > 1, isMarked };
}
