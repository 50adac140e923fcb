/**
 * The last writes of one vCPU that were reported for frames without a watched table, such as frames that are read-only for another
 * tool's reason. They mean nothing until a watch begins there before they land: then only this ring knows them (rule C1).
 *
 * A vCPU has a few writes in flight at a time. A source that never has such writes processed may report any number of them: the
 * ring keeps the last.
 */
const KEPT = 1024;

export class WriteRing {
  /** First byte of each write. */
  readonly #starts = new Float64Array(KEPT);
  /** Bytes of each write; null while all are of one entry, of which any byte says which it is. */
  #lengths: Float64Array | null = null;
  /** Writes since `clear`. */
  #count = 0;

  add(pa: number, byteLength: number): void {
    const at = this.#count++ & (KEPT - 1);
    this.#starts[at] = pa;
    if (byteLength !== 1 || this.#lengths !== null) this.#setLength(at, byteLength);
  }

  #setLength(at: number, byteLength: number): void {
    this.#lengths ??= new Float64Array(KEPT).fill(1);
    this.#lengths[at] = byteLength;
  }

  clear(): void {
    this.#count = 0;
    this.#lengths = null;
  }

  /** The parts of the writes that are between two addresses (the end is exclusive). */
  *within(start: number, end: number): Generator<{ readonly from: number; readonly to: number }> {
    const count = Math.min(KEPT, this.#count);
    for (let at = 0; at < count; at++) {
      const pa = this.#starts[at]!;
      const from = Math.max(start, pa);
      const to = Math.min(end, pa + (this.#lengths?.[at] ?? 1));
      if (from < to) yield { from, to };
    }
  }
}
