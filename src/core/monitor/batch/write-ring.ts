/**
 * The last writes of one vCPU that were reported for frames without a watched table, such as frames that are read-only for another
 * tool's reason. They mean nothing until a watch begins there before they land: then only this ring knows them (rule C1).
 *
 * A vCPU has a few writes in flight at a time. A source that never has such writes processed may report any number of them: the
 * ring keeps the last.
 */
const KEPT = 1024;

export class WriteRing {
  /** First byte and number of bytes of each write. */
  readonly #writes = new Float64Array(2 * KEPT);
  #count = 0;
  #next = 0;

  add(pa: number, byteLength: number): void {
    const writes = this.#writes;
    const at = this.#next;
    writes[2 * at] = pa;
    writes[2 * at + 1] = byteLength;
    this.#next = at + 1 === KEPT ? 0 : at + 1;
    if (this.#count < KEPT) this.#count++;
  }

  clear(): void {
    this.#count = 0;
    this.#next = 0;
  }

  /** The parts of the writes that are between two addresses (the end is exclusive). */
  *within(start: number, end: number): Generator<{ readonly from: number; readonly to: number }> {
    for (let at = 0; at < this.#count; at++) {
      const pa = this.#writes[2 * at]!;
      const from = Math.max(start, pa);
      const to = Math.min(end, pa + this.#writes[2 * at + 1]!);
      if (from < to) yield { from, to };
    }
  }
}
