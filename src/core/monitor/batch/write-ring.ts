/**
 * The last writes of one vCPU to frames without a watched table, such as frames that are read-only for another tool's reason. Such a
 * write means nothing, unless a watch begins there before it lands: then this ring is the only place that knows it (rule C1).
 *
 * A vCPU has a few writes in flight at a time. A source that never has such writes processed may report any number of them, so the
 * ring keeps the last ones only: `KEPT` of single entries, and as many of several bytes.
 */
import { NumberList } from '../../struct/number-list.ts';

/** A power of two. Named in docs/contract.md (C1). */
export const KEPT = 1024;

/** Where the count of writes goes back to `KEPT`: it stays a small integer. A multiple of `KEPT`. */
const WRAP = 2 ** 30;

export class WriteRing {
  /** Writes of one entry: any byte of it. */
  readonly #entries = new Float64Array(KEPT);
  #count = 0;
  /** The others: first byte and length, one after the other. */
  readonly #wide = new NumberList();

  get isEmpty(): boolean {
    return this.#count === 0 && this.#wide.length === 0;
  }

  addEntry(pa: number): void {
    const count = this.#count;
    this.#entries[count & (KEPT - 1)] = pa;
    this.#count = count === WRAP ? KEPT + 1 : count + 1;
  }

  addBytes(pa: number, byteLength: number): void {
    const wide = this.#wide;
    wide.push(pa);
    wide.push(byteLength);
    if (wide.length === 4 * KEPT) wide.dropFirst(2 * KEPT);
  }

  /** Adds the writes of another ring. */
  addAll(other: WriteRing): void {
    const full = other.#count > KEPT;
    for (let at = full ? other.#count - KEPT : 0; at < other.#count; at++)
      this.addEntry(other.#entries[at & (KEPT - 1)]!);
    for (let at = 0; at < other.#wide.length; at += 2) this.addBytes(other.#wide.at(at), other.#wide.at(at + 1));
  }

  clear(): void {
    this.#count = 0;
    this.#wide.dropFirst(this.#wide.length);
  }

  /** The parts of the writes that are between two addresses (the end is exclusive). */
  *within(start: number, end: number): Generator<{ readonly from: number; readonly to: number }> {
    const count = Math.min(KEPT, this.#count);
    for (let at = 0; at < count; at++) {
      const pa = this.#entries[at]!;
      if (pa >= start && pa < end) yield { from: pa, to: pa + 1 };
    }
    const wide = this.#wide;
    for (let at = 0; at < wide.length; at += 2) {
      const from = Math.max(start, wide.at(at));
      const to = Math.min(end, wide.at(at) + wide.at(at + 1));
      if (from < to) yield { from, to };
    }
  }
}
