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

/** Cells that began to flash before the same frame. */
interface Flash {
  readonly id: number;
  readonly began: number;
  /** How far it has faded; -1 before it is painted. */
  level: number;
  readonly cells: number[];
}

const FLASH_MS = 1200;
/**
 * A flash fades in so many steps, together with all others: at the same beat, or with the next change. So a canvas is copied in the frames
 * in which something changes and at each beat, not in every frame.
 */
const FADES = 8;
const BEAT_MS = FLASH_MS / FADES;
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
  readonly #background: Pixel;
  /** By the number of the flash that each cell is in; 0 for none. */
  readonly #flashOf: Uint32Array;
  #flashes: Flash[] = [];
  #flashCount = 0;
  #beat = 0;
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
    this.#flashOf = new Uint32Array(styles.length);
    this.#background = pixelOf(theme.background);
    this.#pixels.fill(this.#background);
    for (let cell = 0; cell < styles.length; cell++) this.#paint(cell, styles[cell]!.color);
  }

  /** Sets what cells are from now on; they flash. */
  set(from: number, styles: readonly CellStyle[], now: number): void {
    let flash = this.#flashes.at(-1);
    if (flash === undefined || flash.level >= 0) {
      flash = { id: ++this.#flashCount, began: now, level: -1, cells: [] };
      this.#flashes.push(flash);
    }
    for (let at = 0; at < styles.length; at++) {
      const cell = from + at;
      if (cell >= this.#styles.length) return;
      this.#styles[cell] = styles[at]!;
      if (this.#flashOf[cell] === flash.id) continue;
      this.#flashOf[cell] = flash.id;
      flash.cells.push(cell);
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
    const beat = Math.floor(now / BEAT_MS);
    if (beat !== this.#beat || this.#flashes.at(-1)?.level === -1) this.#fade(now);
    this.#beat = beat;
    if (this.#last >= this.#first) {
      const [top, height] = [this.#first * this.#pitch, (this.#last - this.#first + 1) * this.#pitch];
      this.#context.putImageData(this.#image, 0, 0, 0, top, this.#canvas.width, height);
      [this.#first, this.#last] = [Infinity, -1];
    }
    return this.#flashes.length > 0;
  }

  #fade(now: number): void {
    for (const flash of this.#flashes) {
      const level = Math.max(0, Math.floor((now - flash.began) / BEAT_MS));
      if (level === flash.level) continue;
      flash.level = level;
      this.#paintFlash(flash);
    }
    this.#flashes = this.#flashes.filter(({ level }) => level < FADES);
  }

  #paintFlash({ id, level, cells }: Flash): void {
    const color = pixelOf(this.#theme.flash);
    const mixed = new Map<Pixel, Pixel>();
    for (const cell of cells) {
      // It has changed again since, and is in another flash.
      if (this.#flashOf[cell] !== id) continue;
      const own = this.#styles[cell]!.color;
      let now = level >= FADES ? own : mixed.get(own);
      if (now === undefined) mixed.set(own, (now = mix(color, own, level / FADES)));
      this.#paint(cell, now);
    }
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
    // Faster than `fill` for a few pixels.
    const pixels = this.#pixels;
    for (let line = 0, at = start; line < height; line++, at += stride) {
      for (let x = at; x < at + width; x++) pixels[x] = color;
      // The cell may have been a part of a large page.
      for (let x = at + width; x < at + this.#pitch; x++) pixels[x] = this.#background;
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
