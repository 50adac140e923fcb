/** Walks through the nodes instead of memory: where a page led when its entries were last read. */
import { ENTRY_LEAF, ENTRY_TABLE } from '../../paging/format.ts';
import { RIGHTS_ALL, restrict } from '../../paging/rights.ts';
import type { Mapping } from './mapping.ts';
import type { Space, TableNode } from './table-node.ts';

/** Where one watched page leads. */
export function translate(space: Space, page: number, into: Mapping): void {
  let node = space.top;
  let rights = RIGHTS_ALL;
  for (;;) {
    const { format, frame } = node;
    const position = node.positionOf(page);
    if (frame === null || position < 0) return into.clear();
    const kind = into.setEntry(format, node.lowAt(position), node.highAt(position), rights);
    if (kind === ENTRY_LEAF) into.gfn += page % format.slotPages;
    if (kind !== ENTRY_TABLE) return;
    const child = node.childAt(position);
    if (child === null) return into.clear();
    node = child;
    rights = into.rights;
  }
}

/** The rights that the entries above a node leave to it. */
export function rightsAbove(node: TableNode): number {
  const { parent } = node;
  if (parent === null) return RIGHTS_ALL;
  const position = parent.positionOf(node.firstPage);
  return restrict(rightsAbove(parent), parent.format, parent.lowAt(position), parent.highAt(position));
}
