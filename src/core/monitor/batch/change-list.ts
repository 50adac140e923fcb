/**
 * The entries that one plan changes. Its records are reused from plan to plan, so that a steady run makes no garbage. `clear` drops
 * their nodes, because each keeps a whole tree alive.
 */
import type { TableNode } from '../tables/table-node.ts';

/** An entry whose value in memory differs from the one in its node. */
export interface Change {
  readonly node: TableNode;
  readonly position: number;
  readonly lo: number;
  readonly hi: number;
  /** Whether an address below it may lead elsewhere, or with other rights, because of it. */
  readonly matters: boolean;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Kept = Mutable<Omit<Change, 'node'>> & { node: TableNode | null };

/** Records that stay for the next plan; the garbage collector takes the others. */
const KEPT = 1024;

export class ChangeList {
  readonly #records: Kept[] = [];
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** The change at `index`, which must be below `length`; valid until `clear`. */
  at(index: number): Change {
    return this.#records[index] as Change;
  }

  /** @param words the new value: low word, high word */
  add(node: TableNode, position: number, words: Uint32Array, matters: boolean): void {
    const [lo, hi] = [words[0]!, words[1]!];
    const record = this.#records[this.#length++];
    if (record === undefined) {
      this.#records.push({ node, position, lo, hi, matters });
      return;
    }
    record.node = node;
    record.position = position;
    record.lo = lo;
    record.hi = hi;
    record.matters = matters;
  }

  clear(): void {
    while (this.#length > 0) this.#records[--this.#length]!.node = null;
    if (this.#records.length > KEPT) this.#records.length = KEPT;
  }
}
