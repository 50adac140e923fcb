/**
 * Cells on a canvas, drawn as pixels of one image: 100,000 of them cost a few milliseconds, whatever draws the page. Only rows with a cell
 * that has changed or flashes are copied to the canvas.
 */
import type { CellRows } from '../../picture/layout.ts';
import { mix, type Pixel, pixelOf, type Theme } from './theme.ts';

/** What is drawn of a cell. */
export interface CellStyle {
  readonly color: Pixel;
  /** Drawn without a gap to the next cell, as a part of a large page. */
  readonly isSolid: boolean;
  /** Outlined: it differs from the moment that it is compared with. */
  readonly isMarked: boolean;
}

const FLASH_MS = 1200;
/** With so few pixels a cell has no gap. */
const MIN_GAP_PITCH = 4;

export class CellCanvas {
  readonly #canvas: HTMLCanvasElement;
  readonly #context: CanvasRenderingContext2D;
  readonly #rows: CellRows;
  readonly #styles: CellStyle[];
  readonly #theme: Theme;
  readonly #image: ImageData;
  readonly #pixels: Uint32Array;
  /** Device pixels of a cell with its gap. */
  readonly #pitch: number;
  readonly #gap: number;
  /** When each flashing cell began to. */
  readonly #flashes = new Map<number, number>();
  #cursor: number | undefined;
  /** Rows of cells to copy; empty where `first` is behind `last`. */
  #first = 0;
  #last = -1;

  constructor(canvas: HTMLCanvasElement, styles: CellStyle[], rows: CellRows, theme: Theme) {
    const ratio = Math.min(2, Math.max(1, window.devicePixelRatio));
    this.#canvas = canvas;
    this.#styles = styles;
    this.#rows = rows;
    this.#theme = theme;
    this.#pitch = Math.round(rows.pitch * ratio);
    this.#gap = rows.pitch < MIN_GAP_PITCH ? 0 : Math.max(1, Math.round(ratio));
    canvas.width = rows.columns * this.#pitch;
    canvas.height = Math.max(1, rows.rows * this.#pitch);
    canvas.style.width = `${rows.columns * rows.pitch}px`;
    canvas.style.height = `${rows.rows * rows.pitch}px`;
    this.#context = canvas.getContext('2d', { alpha: false })!;
    this.#image = this.#context.createImageData(canvas.width, canvas.height);
    this.#pixels = new Uint32Array(this.#image.data.buffer);
    this.#pixels.fill(pixelOf(theme.background));
    for (let cell = 0; cell < styles.length; cell++) this.#paint(cell, styles[cell]!.color);
  }

  /** Sets what cells are from now on. @param flashes whether they flash */
  set(from: number, styles: readonly CellStyle[], flashes: boolean, now: number): void {
    for (const [at, style] of styles.entries()) {
      const cell = from + at;
      if (cell >= this.#styles.length) return;
      this.#styles[cell] = style;
      if (flashes) this.#flashes.set(cell, now);
      else this.#paint(cell, style.color);
    }
  }

  /** The cell that the keyboard is at. */
  moveCursor(cell: number | undefined): void {
    const before = this.#cursor;
    this.#cursor = cell;
    for (const each of [before, cell]) if (each !== undefined) this.#paint(each, this.#styles[each]?.color ?? 0);
  }

  /** Draws what has changed. Returns whether something still flashes. */
  draw(now: number): boolean {
    const flash = pixelOf(this.#theme.flash);
    for (const [cell, began] of this.#flashes) {
      const age = (now - began) / FLASH_MS;
      const { color } = this.#styles[cell]!;
      // Full at first, then it fades.
      this.#paint(cell, age >= 1 ? color : mix(flash, color, Math.max(0, age)));
      if (age >= 1) this.#flashes.delete(cell);
    }
    if (this.#last >= this.#first) {
      const [top, height] = [this.#first * this.#pitch, (this.#last - this.#first + 1) * this.#pitch];
      this.#context.putImageData(this.#image, 0, 0, 0, top, this.#canvas.width, height);
      [this.#first, this.#last] = [Infinity, -1];
    }
    return this.#flashes.size > 0;
  }

  #paint(cell: number, color: Pixel): void {
    const { columns } = this.#rows;
    const row = Math.floor(cell / columns);
    const left = (cell - row * columns) * this.#pitch;
    const style = this.#styles[cell];
    const isCursor = cell === this.#cursor;
    const width = style?.isSolid === true ? this.#pitch : this.#pitch - this.#gap;
    const height = this.#pitch - this.#gap;
    const stride = this.#canvas.width;
    const start = row * this.#pitch * stride + left;
    for (let line = 0; line < height; line++) {
      const at = start + line * stride;
      this.#pixels.fill(color, at, at + width);
    }
    if (style?.isMarked === true || isCursor) this.#outline(start, height, isCursor);
    if (row < this.#first) this.#first = row;
    if (row > this.#last) this.#last = row;
  }

  #outline(start: number, size: number, isThick: boolean): void {
    const color = pixelOf(this.#theme.mark);
    const stride = this.#canvas.width;
    const lines = isThick && size > 6 ? 2 : 1;
    for (let line = 0; line < size; line++) {
      const at = start + line * stride;
      if (line < lines || line >= size - lines) this.#pixels.fill(color, at, at + size);
      this.#pixels.fill(color, at, at + lines);
      this.#pixels.fill(color, at + size - lines, at + size);
    }
  }
}
