/**
 * Whose walks a table serves: the nodes that each frame backs, in every view and at every level (rule C6), in the order in
 * which they came.
 *
 * Every write asks for them, so the first node is what the map leads to; the others are linked to it. A frame's other facts
 * are in `protected-tables`, out of the way: one object less on the way to a record is 10 % of a write among a million
 * addresses.
 */
import { NumberMap } from '../../struct/number-map.ts';
import type { TableNode } from './table-node.ts';

export class NodesByFrame {
  readonly #first = new NumberMap<TableNode>();

  /** Frames that back any node. */
  get size(): number {
    return this.#first.size;
  }

  /** The first of the nodes that a frame backs; the others follow by `nextInFrame`. */
  firstIn(gfn: number): TableNode | null {
    return this.#first.get(gfn) ?? null;
  }

  /** The first node of each frame that backs any. */
  firsts(): IterableIterator<TableNode> {
    return this.#first.values();
  }

  /** Adds a node that a frame backs from now on. */
  attach(node: TableNode): void {
    const { gfn } = node.frame!;
    const first = this.firstIn(gfn);
    // What stands before the first is the last, so that nobody has to look for it.
    if (first === null) {
      node.previousInFrame = node;
      this.#first.set(gfn, node);
      return;
    }
    const last = first.previousInFrame!;
    node.previousInFrame = last;
    last.nextInFrame = node;
    last.comparePlain();
    first.previousInFrame = node;
  }

  /** Takes out a node, whose frame backs it no more. */
  detach(node: TableNode): void {
    const { gfn } = node.frame!;
    const first = this.firstIn(gfn)!;
    const { previousInFrame: previous, nextInFrame: next } = node;
    if (next !== null) next.previousInFrame = previous;
    else first.previousInFrame = previous;
    if (node !== first) {
      previous!.nextInFrame = next;
      previous!.comparePlain();
    } else if (next !== null) this.#first.set(gfn, next);
    else this.#first.delete(gfn);
    node.previousInFrame = null;
    node.nextInFrame = null;
    node.comparePlain();
  }
}

/** A write to a slot of the frame of these nodes is announced. Answers whether its entry is on some watched walk. */
export function announceWrite(first: TableNode | null, slot: number): boolean {
  if (first !== null && first.announce(slot)) return true;
  for (let node = first; node !== null; node = node.nextInFrame) {
    if (node.find(slot - node.firstSlot) >= 0) return true;
  }
  return false;
}
