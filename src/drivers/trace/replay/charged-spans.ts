/** Ranges of one address space, and what each was charged: how many of them a new one overlaps is two binary searches. */
import { partitionPoint } from '../../../core/struct/partition-point.ts';

export class ChargedSpans {
  /** Ascending, each by itself: a span that begins before another's end overlaps it, unless it ends before that one begins. */
  readonly #starts: bigint[] = [];
  readonly #ends: bigint[] = [];
  /** By start and end; the charge of the last one last. */
  readonly #charges = new Map<string, number[]>();
  #total = 0;

  /** All charges together. */
  get total(): number {
    return this.#total;
  }

  /** How many share an address with [start, end). */
  overlapping(start: bigint, end: bigint): number {
    return countBelow(this.#starts, end) - countBelow(this.#ends, start + 1n);
  }

  add(start: bigint, end: bigint, charge: number): void {
    this.#starts.splice(countBelow(this.#starts, start), 0, start);
    this.#ends.splice(countBelow(this.#ends, end), 0, end);
    const key = `${start} ${end}`;
    const charges = this.#charges.get(key) ?? [];
    charges.push(charge);
    this.#charges.set(key, charges);
    this.#total += charge;
  }

  /** Removes the span that was added last. Returns its charge; 0 where there is none. */
  remove(start: bigint, end: bigint): number {
    const key = `${start} ${end}`;
    const charges = this.#charges.get(key);
    const charge = charges?.pop();
    if (charge === undefined) return 0;
    if (charges!.length === 0) this.#charges.delete(key);
    this.#starts.splice(countBelow(this.#starts, start), 1);
    this.#ends.splice(countBelow(this.#ends, end), 1);
    this.#total -= charge;
    return charge;
  }
}

/** How many of an ascending list are less than `limit`. */
function countBelow(ascending: readonly bigint[], limit: bigint): number {
  return partitionPoint(ascending.length, (index) => ascending[index]! < limit);
}
