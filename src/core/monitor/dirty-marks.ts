/**
 * Writes in flight (rules C4, C5): for each vCPU, the entries that it is about to write.
 *
 * A mark outlives the protection of its table. A write that trapped stays in flight when its table is released, and when the
 * table is watched again before the write lands, only the mark knows that the entry just read is about to change (C1).
 */
class MarkList {
  #entries = new Float64Array(16);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  add(entryPa: number): void {
    if (this.#length > 0 && this.#entries[this.#length - 1] === entryPa) return;
    if (this.#length === this.#entries.length) this.#makeRoom();
    this.#entries[this.#length++] = entryPa;
  }

  /** Ascending, each entry once. Valid until the next `add`. */
  sorted(): Float64Array {
    if (this.#length > 1) this.#sortOut();
    return this.#entries.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
    if (this.#entries.length > 4096) this.#entries = new Float64Array(16);
  }

  /** A vCPU that writes the same entries over and over must not grow its list: room is made by sorting out first. */
  #makeRoom(): void {
    this.#sortOut();
    if (this.#length * 2 <= this.#entries.length) return;
    const grown = new Float64Array(this.#entries.length * 2);
    grown.set(this.#entries);
    this.#entries = grown;
  }

  #sortOut(): void {
    const entries = this.#entries;
    entries.subarray(0, this.#length).sort();
    let kept = 0;
    for (let at = 0; at < this.#length; at++) {
      if (at === 0 || entries[at] !== entries[at - 1]) entries[kept++] = entries[at]!;
    }
    this.#length = kept;
  }
}

const NOTHING = new Float64Array(0);

export class DirtyMarks {
  readonly #lists = new Map<number, MarkList>();

  add(vcpu: number, entryPa: number): void {
    let list = this.#lists.get(vcpu);
    if (list === undefined) {
      list = new MarkList();
      this.#lists.set(vcpu, list);
    }
    list.add(entryPa);
  }

  /** The entries that `vcpu` has in flight, ascending. */
  of(vcpu: number): Float64Array {
    return this.#lists.get(vcpu)?.sorted() ?? NOTHING;
  }

  /** The entries that every vCPU but this one has in flight. */
  ofOthers(vcpu: number | null): Float64Array[] {
    const others: Float64Array[] = [];
    for (const [each, list] of this.#lists) {
      if (each !== vcpu && list.length > 0) others.push(list.sorted());
    }
    return others;
  }

  clear(vcpu: number): void {
    this.#lists.get(vcpu)?.clear();
  }

  vcpus(): number[] {
    return [...this.#lists.keys()].sort((a, b) => a - b);
  }
}
