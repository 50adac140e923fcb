/**
 * Fast path of writes to *plain* page tables. Most page tables are plain: the only node of their frame, their slots a window without a gap,
 * and the WHERE words of all records equal, as they are where every watch is of the first byte of a page, with a number as its tag.
 *
 * The notes of a node (`plainBase`, `plainCount`, `plainWhere`) are next to its `words`: a write that needs nothing else touches two
 * cache lines. A change of the node's shape makes them invalid, and a node is looked at again after some writes only, because looking
 * takes as long as the table has slots.
 */
import { NUMBER, RECORD_WORDS, type TableNode, whatIs, WHERE } from '../tables/table-node.ts';

/** Writes to a node whose shape is unknown before it is looked at: `plainCount` counts down from `SHAPE_UNKNOWN` to minus this. */
const LOOK_AT = 7;

/** The position of a slot of a plain table; -1 elsewhere. */
export function findPlain(node: TableNode, slot: number): number {
  const position = slot - node.plainBase;
  return position >= 0 && position < node.plainCount ? position : -1;
}

/**
 * A write to the entry of a slot is about to land. Where the node is plain and the slot present, this has the processor fetch the slot's
 * record, which takes long, while the guest's write is on its way. It stores the value that is there already, because a load would
 * wait for the record. Returns whether it did.
 */
export function prefetch(node: TableNode, slot: number): boolean {
  if (node.plainCount < 0) lookAt(node);
  const position = findPlain(node, slot);
  if (position < 0) return false;
  node.words[position * RECORD_WORDS + WHERE] = node.plainWhere;
  return true;
}

/** Whether a node may be plain, as far as is known. */
export function isPlain(node: TableNode): boolean {
  return node.plainCount > 0;
}

/** Whether each page of a plain table has one watch with one tag, which the record's WHO is. */
export function hasNumbersAsTags(node: TableNode): boolean {
  return whatIs(node.plainWhere) === NUMBER;
}

function lookAt(node: TableNode): void {
  if (node.plainCount > -LOOK_AT) {
    node.plainCount--;
    return;
  }
  node.plainCount = 0;
  if (!node.isPageTable || !node.isGapless || node.nextInFrame !== null || node.stride !== RECORD_WORDS) return;
  const { words, slotCount } = node;
  const where = words[WHERE]!;
  for (let position = 1; position < slotCount; position++) {
    if (words[position * RECORD_WORDS + WHERE] !== where) return;
  }
  node.plainBase = node.slotAt(0);
  node.plainCount = slotCount;
  node.plainWhere = where;
}
