/**
 * Fast path of `monitor`: a watch in a page table that is protected already takes one read, without a plan. For that, nothing may
 * be in flight: the general way reads writes in flight as well.
 */
import { paOf } from '../../address/pa.ts';
import { type PhysicalMemory, READ_OK } from '../../memory/physical-memory.ts';
import { slotOf } from '../../paging/format.ts';
import type { Tag } from '../../struct/references.ts';
import { addReference } from '../tables/page-watches.ts';
import type { TableNode } from '../tables/table-node.ts';

export class WatchInPlace {
  readonly #memory: PhysicalMemory;
  readonly #entryBytes: 4 | 8;
  readonly #entry = new Uint32Array(2);

  constructor(memory: PhysicalMemory, entryBytes: 4 | 8) {
    this.#memory = memory;
    this.#entryBytes = entryBytes;
  }

  /**
   * Watches one byte of a page that no single watch watches yet. Returns whether it did: else nothing has happened.
   *
   * @throws what the source throws; nothing has happened
   */
  add(node: TableNode, page: number, offset: number, tag: Tag | undefined): boolean {
    if (node.frame === null) return false;
    let position = node.positionOf(page);
    if (position < 0) {
      const slot = slotOf(node.format, page);
      const entryPa = paOf(node.frame.gfn, (node.firstSlot + slot) * this.#entryBytes);
      if (this.#memory.readEntry(entryPa, this.#entryBytes, this.#entry) !== READ_OK) return false;
      position = node.insert(slot);
      node.setEntry(position, this.#entry[0]!, this.#entry[1]!);
    }
    addReference(node, position, offset, tag);
    node.countWatch();
    return true;
  }
}
