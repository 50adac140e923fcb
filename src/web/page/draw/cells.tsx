/** A block of cells: a canvas that mouse, keyboard and screen reader can use. */
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { cellAt, rowsOf } from '../../picture/layout.ts';
import { CellCanvas, type CellStyle } from './cell-canvas.ts';
import { addPainter, wake } from './painter.ts';
import { currentTheme, onThemeChange, type Theme } from './theme.ts';

export interface CellsProps {
  readonly label: string;
  readonly cells: number;
  readonly pitch: number;
  readonly width: number;
  /** Where it differs, all cells are drawn anew. */
  readonly version: unknown;
  readonly styles: (from: number, to: number, theme: Theme) => CellStyle[];
  /** Calls back with cells [from, to) that have changed. */
  readonly subscribe?: (changed: (from: number, to: number) => void) => () => void;
  readonly onHover: (cell: number | undefined, at: { readonly x: number; readonly y: number }) => void;
  readonly onOpen: (cell: number) => void;
  /** In words, for the cell that the keyboard is at. */
  readonly describe: (cell: number) => string;
  /** The cell that is open. */
  readonly open: number | undefined;
}

/** Keys that move by cells; rows for up and down. */
const MOVES: Readonly<Record<string, (columns: number) => number>> = {
  ArrowLeft: () => -1,
  ArrowRight: () => 1,
  ArrowUp: (columns) => -columns,
  ArrowDown: (columns) => columns,
  Home: () => -Infinity,
  End: () => Infinity,
};

export function Cells(props: CellsProps) {
  const { label, cells, pitch, width, version, subscribe, open } = props;
  const canvasRef = useRef<HTMLCanvasElement>(null);
  const latest = useRef(props);
  latest.current = props;
  const painter = useRef<CellCanvas | undefined>(undefined);
  const [cursor, setCursor] = useState<number>();
  const [theme, setTheme] = useState(currentTheme());
  const rows = rowsOf(cells, width, pitch);

  useEffect(() => onThemeChange(() => setTheme(currentTheme())), []);
  useLayoutEffect(() => {
    const drawing = new CellCanvas(canvasRef.current!, latest.current.styles(0, cells, theme), rows, theme);
    painter.current = drawing;
    drawing.moveCursor(latest.current.open);
    // A canvas with a new size is black until it is drawn, and the next frame comes after this one is shown.
    drawing.draw(performance.now());
    const draw = (now: number) => drawing.draw(now);
    const remove = addPainter(draw);
    const unsubscribe = subscribe?.((from, to) => {
      drawing.set(from, latest.current.styles(from, to, theme), performance.now());
      wake(draw);
    });
    return () => {
      remove();
      unsubscribe?.();
    };
  }, [cells, pitch, width, version, theme]);
  useEffect(() => {
    const at = cursor ?? open;
    painter.current?.moveCursor(at);
    const drawing = painter.current;
    if (drawing !== undefined) requestAnimationFrame((now) => drawing.draw(now));
  }, [cursor, open, version, theme, pitch, width]);

  const cellOf = (event: MouseEvent) => {
    const box = canvasRef.current!.getBoundingClientRect();
    return cellAt(rows, cells, event.clientX - box.left, event.clientY - box.top);
  };
  const onKeyDown = (event: KeyboardEvent) => {
    const move = MOVES[event.key];
    if (move !== undefined) {
      event.preventDefault();
      const next = Math.max(0, Math.min(cells - 1, (cursor ?? open ?? 0) + move(rows.columns)));
      setCursor(next);
    } else if ((event.key === 'Enter' || event.key === ' ') && cursor !== undefined) {
      event.preventDefault();
      props.onOpen(cursor);
    }
  };
  return (
    <>
      <canvas
        ref={canvasRef}
        class="cells"
        data-cells={cells}
        data-pitch={pitch}
        tabIndex={0}
        role="application"
        aria-roledescription="map of pages"
        aria-label={`${label}. Arrow keys go from cell to cell, Enter opens one.`}
        onMouseMove={(event) => props.onHover(cellOf(event), { x: event.clientX, y: event.clientY })}
        onMouseLeave={() => props.onHover(undefined, { x: 0, y: 0 })}
        onClick={(event) => {
          const cell = cellOf(event);
          if (cell !== undefined) props.onOpen(cell);
        }}
        onKeyDown={onKeyDown}
        onBlur={() => setCursor(undefined)}
      />
      <span class="spoken" role="status">
        {cursor === undefined ? '' : props.describe(cursor)}
      </span>
    </>
  );
}
