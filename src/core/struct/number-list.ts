/** An empty list keeps room for this many numbers. */
const KEPT = 4096;

/** A growing list of numbers in one typed array, reused from batch to batch so that a batch allocates nothing. */
export class NumberList {
  #numbers = new Float64Array(16);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** The number at `index`, which must be below `length`. */
  at(index: number): number {
    return this.#numbers[index]!;
  }

  push(number: number): void {
    if (this.#length === this.#numbers.length) this.#grow();
    this.#numbers[this.#length++] = number;
  }

  /** `count` numbers from `first` on, each `step` above the one before. */
  pushRun(first: number, step: number, count: number): void {
    for (let index = 0; index < count; index++) this.push(first + index * step);
  }

  pushAll(other: NumberList): void {
    for (let index = 0; index < other.length; index++) this.push(other.at(index));
  }

  /** Ascending, each number once. */
  sortUnique(): void {
    if (this.isAscending) return;
    const numbers = this.#numbers;
    numbers.subarray(0, this.#length).sort();
    let kept = 1;
    for (let index = 1; index < this.#length; index++) {
      if (numbers[index] !== numbers[index - 1]) numbers[kept++] = numbers[index]!;
    }
    this.#length = kept;
  }

  /** Whether each number is greater than the one before. */
  get isAscending(): boolean {
    const numbers = this.#numbers;
    for (let index = 1; index < this.#length; index++) if (numbers[index - 1]! >= numbers[index]!) return false;
    return true;
  }

  /** Drops the first `count` numbers, and frees what a rare large batch took. */
  dropFirst(count: number): void {
    if (count < this.#length) this.#numbers.copyWithin(0, count, this.#length);
    this.#length -= count;
    if (this.#length === 0 && this.#numbers.length > KEPT) this.#numbers = new Float64Array(16);
  }

  /** A copy. */
  toTypedArray(): Float64Array {
    return this.#numbers.slice(0, this.#length);
  }

  /** A copy. */
  toArray(): number[] {
    return Array.from(this.toTypedArray());
  }

  #grow(): void {
    const grown = new Float64Array(this.#numbers.length * 2);
    grown.set(this.#numbers);
    this.#numbers = grown;
  }
}
