/**
 * The watched ranges of one address space (rule R2): disjoint pieces, ascending, each with the references that cover it.
 *
 *      ranges   |-------- a --------|
 *                         |-------- b --------|
 *      pieces   |--- a ---|-- a, b -|--- b ---|
 */
import type { Tag } from './events.ts';
import { References } from './references.ts';

export class Piece {
  /** First and last page, both inside. */
  first: number;
  last: number;
  readonly references: References;
  /** Whether nobody, since the piece was made, has asked for these pages one by one. */
  runs: boolean;

  constructor(first: number, last: number, references: References, runs: boolean) {
    this.first = first;
    this.last = last;
    this.references = references;
    this.runs = runs;
  }

  holds(page: number): boolean {
    return this.first <= page && page <= this.last;
  }

  copy(): Piece {
    return new Piece(this.first, this.last, this.references.copy(), this.runs);
  }
}

export class Coverage {
  #pieces: Piece[] = [];

  get isEmpty(): boolean {
    return this.#pieces.length === 0;
  }

  get pieces(): readonly Piece[] {
    return this.#pieces;
  }

  /** One more reference for every page from `first` to `last`. */
  add(first: number, last: number, tag: Tag | undefined, runs: boolean): void {
    this.#splitAt(first);
    this.#splitAt(last + 1);
    let at = this.#lowerBound(first);
    let next = first;
    while (next <= last) {
      const piece = this.#pieces[at];
      if (piece === undefined || piece.first > next) {
        const end = Math.min(last, piece === undefined ? last : piece.first - 1);
        const fresh = new Piece(next, end, new References(), true);
        this.#pieces.splice(at, 0, fresh);
        continue;
      }
      piece.references.add(tag);
      piece.runs &&= runs;
      next = piece.last + 1;
      at++;
    }
  }

  /** One reference less for every page from `first` to `last` that has one (of `tag`). Answers whether any had. */
  release(first: number, last: number, tag: Tag | undefined): boolean {
    return this.#takeFrom(first, last, (references) => references.release(tag), tag);
  }

  /** No reference any more for the pages from `first` to `last`. Answers whether any had one. */
  clear(first: number, last: number): boolean {
    return this.#takeFrom(first, last, (references) => {
      references.count = 0;
      return true;
    });
  }

  /** The piece that covers a page. */
  find(page: number): Piece | undefined {
    const piece = this.#pieces[this.#lowerBound(page)];
    return piece !== undefined && piece.first <= page ? piece : undefined;
  }

  /** Whether any page from `first` to `last` is covered. */
  overlaps(first: number, last: number): boolean {
    const piece = this.#pieces[this.#lowerBound(first)];
    return piece !== undefined && piece.first <= last;
  }

  /** The pieces that share a page with `first` to `last`, ascending. */
  *overlapping(first: number, last: number): Generator<Piece> {
    for (let at = this.#lowerBound(first); at < this.#pieces.length; at++) {
      const piece = this.#pieces[at]!;
      if (piece.first > last) return;
      yield piece;
    }
  }

  /** Copies of the pieces that share a page with `first` to `last`: what `restore` needs to undo a change there. */
  save(first: number, last: number): Piece[] {
    return [...this.overlapping(first, last)].map((each) => each.copy());
  }

  /** Puts back what `save` saw, in place of everything that has been there since. */
  restore(first: number, last: number, saved: readonly Piece[]): void {
    const from = Math.min(first, saved[0]?.first ?? first);
    const to = Math.max(last, saved.at(-1)?.last ?? last);
    const before = this.#pieces.slice(0, this.#lowerBound(from));
    const after = this.#pieces.slice(this.#lowerBound(to + 1));
    this.#pieces = [...before, ...saved, ...after];
  }

  #takeFrom(first: number, last: number, take: (references: References) => boolean, tag?: Tag): boolean {
    const hit = [...this.overlapping(first, last)].some((piece) => tag === undefined || piece.references.has(tag));
    if (!hit) return false;
    this.#splitAt(first);
    this.#splitAt(last + 1);
    for (const piece of this.overlapping(first, last)) take(piece.references);
    this.#pieces = this.#pieces.filter((piece) => piece.references.count > 0);
    return true;
  }

  /** Makes sure that no piece reaches across the border before page `page`. */
  #splitAt(page: number): void {
    const at = this.#lowerBound(page);
    const piece = this.#pieces[at];
    if (piece === undefined || piece.first >= page) return;
    this.#pieces.splice(at + 1, 0, new Piece(page, piece.last, piece.references.copy(), piece.runs));
    piece.last = page - 1;
  }

  /** The position of the first piece that does not end before page `page`. */
  #lowerBound(page: number): number {
    let low = 0;
    let high = this.#pieces.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#pieces[middle]!.last < page) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
