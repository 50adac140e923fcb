/**
 * The watched ranges of one address space (rule R2): disjoint pieces, ascending, each with the references that cover it.
 *
 *      ranges   |-------- a --------|
 *                         |-------- b --------|
 *      pieces   |--- a ---|-- a, b -|--- b ---|
 *
 * Neighbours that are held alike are one piece: pages that were cut apart are told as one run again.
 */
import type { Tag } from '../events.ts';
import { References } from '../../struct/references.ts';

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

  /** Whether the piece behind this one is held by as many, under the same names. */
  goesOnIn(next: Piece): boolean {
    return this.last + 1 === next.first && this.runs === next.runs && this.references.equals(next.references);
  }

  copy(): Piece {
    return new Piece(this.first, this.last, this.references.copy(), this.runs);
  }
}

export class Coverage {
  /** The page behind the lower half of the address space: the one before it is its neighbour in number only. */
  readonly #border: number;
  #pieces: Piece[] = [];

  constructor(border: number) {
    this.#border = border;
  }

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
    this.#join(first, last);
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

  /** Copies of the pieces that touch `first` to `last`: what `restore` needs to undo a change there. */
  save(first: number, last: number): Piece[] {
    return [...this.overlapping(first - 1, last + 1)].map((each) => each.copy());
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
    this.#join(first, last);
    return true;
  }

  /** Makes one of neighbours that are held alike, from the page before `first` to the one behind `last`. */
  #join(first: number, last: number): void {
    const from = this.#lowerBound(first - 1);
    const end = this.#lowerBound(last + 2);
    const joined: Piece[] = [];
    for (const piece of this.#pieces.slice(from, end + 1)) {
      const before = joined.at(-1);
      if (before?.goesOnIn(piece) && piece.first !== this.#border) before.last = piece.last;
      else joined.push(piece);
    }
    this.#pieces.splice(from, end + 1 - from, ...joined);
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
