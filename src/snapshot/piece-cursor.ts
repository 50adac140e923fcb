/** Reads pieces one after the other, and parts of them. */
import type { Piece } from '../core/paging/pieces.ts';

export class PieceCursor {
  readonly #batches: AsyncGenerator<readonly Piece[], void, undefined>;
  #batch: readonly Piece[] = [];
  #next = 0;
  #current: Piece | undefined;
  #isOver = false;

  constructor(batches: AsyncGenerator<readonly Piece[], void, undefined>) {
    this.#batches = batches;
  }

  /** Whether `current` is to be asked for only after `fill`. */
  get isEmpty(): boolean {
    return this.#current === undefined && !this.#isOver;
  }

  /** The rest of the piece that it stands at; undefined at the end. */
  get current(): Piece | undefined {
    return this.#current;
  }

  async fill(): Promise<void> {
    while (this.#next === this.#batch.length) {
      const { value, done } = await this.#batches.next();
      if (done === true) {
        this.#isOver = true;
        return;
      }
      this.#batch = value;
      this.#next = 0;
    }
    this.#current = { ...this.#batch[this.#next++]! };
  }

  /** Goes on by so many pages, at most to the end of the piece. */
  drop(pages: number): void {
    const piece = this.#current!;
    piece.vpn += pages;
    piece.gfn += piece.step * pages;
    piece.pages -= pages;
    if (piece.pages > 0) return;
    this.#current = this.#next < this.#batch.length ? { ...this.#batch[this.#next++]! } : undefined;
  }

  async close(): Promise<void> {
    await this.#batches.return();
  }
}
