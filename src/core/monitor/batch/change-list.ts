/**
 * The entries that one update changes. Its records are reused from update to update, so that a steady run makes no garbage;
 * they let go of their nodes, or what nobody watches any more would stay, with its whole tree.
 */
import type { TableNode } from '../tables/table-node.ts';

/** An entry that is not what the mirror says. */
export interface Change {
  readonly node: TableNode;
  readonly position: number;
  readonly lo: number;
  readonly hi: number;
  /** Whether any address below can lead elsewhere, or with other rights, because of it. */
  readonly matters: boolean;
}

type Mutable<T> = { -readonly [K in keyof T]: T[K] };
type Kept = Mutable<Omit<Change, 'node'>> & { node: TableNode | null };

/** Records kept for the next update; more than this are left to the garbage collector. */
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

  add(node: TableNode, position: number, lo: number, hi: number, matters: boolean): void {
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
