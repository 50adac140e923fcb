/**
 * Entries that were on watched walks and are on them no longer, though no event has said so yet.
 *
 * While writes are in flight, the processing of another vCPU or a new watch may lead an address elsewhere without an event. A vCPU
 * that writes to an entry of the walk that the address had when it was last reported touches the address nevertheless (rule C4). The
 * entries are kept until nothing is in flight.
 */
import type { NumberList } from '../../struct/number-list.ts';
import type { TouchedPages } from '../reporting/touched-pages.ts';
import type { Space, TableNode } from '../tables/table-node.ts';

interface FormerSlot {
  readonly space: Space;
  readonly firstPage: number;
  readonly pages: number;
}

export class FormerWalks {
  readonly #entryBytes: number;
  /** By the entry's physical address. */
  readonly #slots = new Map<number, FormerSlot[]>();
  /** Every call asks this: a field is faster than a map's size. */
  #isEmpty = true;

  constructor(entryBytes: number) {
    this.#entryBytes = entryBytes;
  }

  get isEmpty(): boolean {
    return this.#isEmpty;
  }

  /** Adds the entries of the table behind a node, which is about to go or to be another. */
  add(node: TableNode): void {
    const { frame, space } = node;
    if (frame === null) return;
    for (let position = node.firstFrom(0); position >= 0; position = node.nextAfter(position)) {
      const entryPa = node.entryPa(frame.gfn, position, this.#entryBytes);
      const firstPage = node.pageAt(position);
      const former = this.#slots.get(entryPa) ?? [];
      const pages = node.format.slotPages;
      // In a self-mapped table one entry may begin a span of one page and one of 512 at the same page.
      if (former.some((each) => each.space === space && each.firstPage === firstPage && each.pages === pages)) continue;
      former.push({ space, firstPage, pages });
      this.#slots.set(entryPa, former);
      this.#isEmpty = false;
    }
  }

  /** Adds the pages that these entries led to. */
  addTouched(entries: NumberList, touched: TouchedPages): void {
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
