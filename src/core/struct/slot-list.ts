/**
 * The slots of one table that are held, ascending, in as little memory as they need.
 *
 * What belongs to a slot stands at the same position of its owner's arrays. Most tables are held in one contiguous run (all
 * of them by a range, the first few by a heap); a run is known by its ends, and a slot's position in it without a look at the
 * list (1 ns instead of 15, and one cache line less).
 */
export class SlotList {
  #slots = new Uint16Array(4);
  #length = 0;
  // The ends, or anything where the list is empty.
  #first = 0;
  #last = 0;

  get length(): number {
    return this.#length;
  }

  /** How many slots fit before the arrays beside this one must grow as well. */
  get capacity(): number {
    return this.#slots.length;
  }

  /** The slot at `position`, which must be below `length`. */
  at(position: number): number {
    return this.#slots[position]!;
  }

  /** The position of `slot`; `~position` of where it would go when it is not held. */
  find(slot: number): number {
    const isRun = this.#last - this.#first === this.#length - 1;
    if (isRun && slot >= this.#first && slot <= this.#last) return slot - this.#first;
    const position = this.lowerBound(slot);
    return position < this.#length && this.#slots[position] === slot ? position : ~position;
  }

  /** The position of the first slot that is not below `slot`. */
  lowerBound(slot: number): number {
    const slots = this.#slots;
    let low = 0;
    let high = this.#length;
    if (high > 0 && this.#last < slot) return high;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (slots[middle]! < slot) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  insertAt(position: number, slot: number): void {
    if (this.#length === this.#slots.length) {
      const grown = new Uint16Array(this.#slots.length * 2);
      grown.set(this.#slots);
      this.#slots = grown;
    }
    if (position < this.#length) this.#slots.copyWithin(position + 1, position, this.#length);
    this.#slots[position] = slot;
    this.#setLength(this.#length + 1);
  }

  removeAt(position: number): void {
    if (position + 1 < this.#length) this.#slots.copyWithin(position, position + 1, this.#length);
    this.#setLength(this.#length - 1);
  }

  #setLength(length: number): void {
    this.#length = length;
    this.#first = this.#slots[0]!;
    this.#last = length === 0 ? this.#first : this.#slots[length - 1]!;
  }
}
