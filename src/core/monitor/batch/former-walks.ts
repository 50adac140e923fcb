/**
 * Entries that watched walks have led through and do not any more, though nobody has said so yet.
 *
 * While writes are in flight, somebody else's look at memory (another vCPU's processing, a new watch) may lead an address elsewhere
 * without a word. A vCPU that writes to an entry of the walk that it had when it was last spoken of touches it nevertheless
 * (rule C4). Kept until nothing is in flight.
 */
import type { NumberList } from '../../struct/number-list.ts';
import type { AddressSpace } from '../tables/address-space.ts';
import type { TableNode } from '../tables/table-node.ts';
import type { Touched } from '../tables/touched-pages.ts';

interface FormerSlot {
  readonly space: AddressSpace;
  readonly firstPage: number;
  readonly pages: number;
}

export class FormerWalks {
  readonly #entryBytes: number;
  /** By the entry's physical address. */
  readonly #slots = new Map<number, FormerSlot[]>();
  /** Asked at the end of every call: 2 ns, where a map's size takes 10. */
  #isEmpty = true;

  constructor(entryBytes: number) {
    this.#entryBytes = entryBytes;
  }

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /** The table behind a node is about to go, or to be another. */
  add(node: TableNode): void {
    const { frame, space } = node;
    if (frame === null) return;
    for (let position = node.firstFrom(0); position >= 0; position = node.nextAfter(position)) {
      const entryPa = node.entryPa(frame.gfn, position, this.#entryBytes);
      const firstPage = node.pageAt(position);
      const former = this.#slots.get(entryPa) ?? [];
      if (former.some((each) => each.space === space && each.firstPage === firstPage)) continue;
      former.push({ space, firstPage, pages: node.format.slotPages });
      this.#slots.set(entryPa, former);
      this.#isEmpty = false;
    }
  }

  /** Adds the pages that these entries led to. */
  addTouched(entries: NumberList, touched: Touched): void {
    for (let index = 0; index < entries.length; index++) {
      for (const { space, firstPage, pages } of this.#slots.get(entries.at(index)) ?? []) {
        touched.add(space, firstPage, pages);
      }
    }
  }

  clear(): void {
    this.#slots.clear();
    this.#isEmpty = true;
  }
}
