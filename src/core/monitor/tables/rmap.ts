/**
 * The reverse map: from a frame to the nodes that it backs, in every view and at every level (rule C6), in the order in which they
 * came.
 *
 * Every write looks a frame up, so the map leads to the first node, and the others are linked to it.
 */
import { NumberMap } from '../../struct/number-map.ts';
import type { TableNode } from './table-node.ts';

export class ReverseMap {
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

  /** Adds a node that its frame backs from now on. */
  attach(node: TableNode): void {
    node.space.entrySet.version++;
    const { gfn } = node.frame!;
    const first = this.firstIn(gfn);
    // The first node's predecessor is the last node, so that nothing has to search for it.
    if (first === null) {
      node.previousInFrame = node;
      this.#first.set(gfn, node);
      return;
    }
    const last = first.previousInFrame!;
    node.previousInFrame = last;
    last.nextInFrame = node;
    first.previousInFrame = node;
    first.forgetShape();
  }

  /** Removes a node that its frame backs no longer. */
  detach(node: TableNode): void {
    node.space.entrySet.version++;
    const { gfn } = node.frame!;
    const first = this.firstIn(gfn)!;
    const { previousInFrame: previous, nextInFrame: next } = node;
    if (next !== null) next.previousInFrame = previous;
    else first.previousInFrame = previous;
    if (node !== first) previous!.nextInFrame = next;
    else if (next !== null) this.#first.set(gfn, next);
    else this.#first.delete(gfn);
    node.previousInFrame = null;
    node.nextInFrame = null;
    this.firstIn(gfn)?.forgetShape();
  }
}
