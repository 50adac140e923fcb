/** How watches end: what only they needed is dropped, and the tables that nothing uses any more get their access back. */
import type { Tag } from '../../struct/references.ts';
import type { MonitorEvent } from '../events.ts';
import type { Report } from '../reporting/report.ts';
import { TouchedPages } from '../reporting/touched-pages.ts';
import type { UnsettledAddresses } from '../reporting/unsettled.ts';
import type { AddressSpace, SpacePages } from '../tables/address-space.ts';
import type { AddressSpaces } from '../tables/address-spaces.ts';
import { findWatcher, releaseReference } from '../tables/page-watches.ts';
import type { ProtectedTables } from '../tables/protected-tables.ts';
import type { ReverseMap } from '../tables/rmap.ts';
import type { TableNode } from '../tables/table-node.ts';
import type { Calls } from './calls.ts';
import { finish, type Stepwise } from '../steps.ts';

export interface ReleasesParts {
  readonly calls: Calls;
  readonly report: Report;
  readonly unsettled: UnsettledAddresses;
  readonly tables: ProtectedTables;
  readonly rmap: ReverseMap;
  readonly spaces: AddressSpaces;
}

export class Releases {
  readonly #calls: Calls;
  readonly #report: Report;
  readonly #unsettled: UnsettledAddresses;
  readonly #tables: ProtectedTables;
  readonly #rmap: ReverseMap;
  readonly #spaces: AddressSpaces;

  constructor({ calls, report, unsettled, tables, rmap, spaces }: ReleasesParts) {
    this.#calls = calls;
    this.#report = report;
    this.#unsettled = unsettled;
    this.#tables = tables;
    this.#rmap = rmap;
    this.#spaces = spaces;
  }

  /** Releases one reference (of `tag`) to an address that is watched singly. Returns whether there was one. Never throws. */
  release(space: AddressSpace, page: number, offset: number, tag: Tag | undefined): boolean {
    const node = space.pageTableOf(page);
    const position = node === null ? -1 : node.positionOf(page);
    if (position < 0 || findWatcher(node!, position, offset) === null) return false;
    if (!releaseReference(node!, position, offset, tag)) return false;
    this.#calls.begin();
    if (findWatcher(node!, position, offset) === null) {
      node!.uncountWatch();
      if (!this.#unsettled.isEmpty) this.#unsettled.deleteReleased(space, page, page);
      space.prunePage(node!, page, this.#forget);
      if (space.isEmpty) this.#spaces.close(space);
    }
    this.#calls.end();
    return true;
  }

  /** Releases one reference (of `tag`) of every page of a range. Returns whether there was one. Never throws. */
  *releaseRange(pages: SpacePages, tag: Tag | undefined): Stepwise<boolean> {
    if (!pages.space.ranges.release(pages.first, pages.last, tag)) return false;
    this.#calls.begin();
    yield* this.prune(pages);
    this.#calls.end();
    return true;
  }

  /** Releases every reference to an address. Never throws. */
  releaseAll(space: AddressSpace, page: number, offset: number): void {
    this.#calls.begin();
    if (offset === 0) space.ranges.clear(page, page);
    if (space.findWatcher(page, offset) !== null) space.removeWatch(page, offset);
    finish(this.prune({ space, first: page, last: page }));
    this.#calls.end();
  }

  /** Reports that the roots of these spaces are gone, and drops the spaces (rule R4). Never throws. */
  *rootsGone(gone: readonly AddressSpace[]): Stepwise<MonitorEvent[]> {
    this.#calls.begin();
    this.#report.begin(null, TouchedPages.allOf(gone));
    for (const space of gone) yield* this.#report.rootGone(space);
    const events = this.#report.end();
    yield* this.drop(gone);
    return events;
  }

  /** Releases everything of these spaces. Never throws. */
  *drop(spaces: readonly AddressSpace[]): Stepwise<void> {
    this.#calls.begin();
    for (const space of spaces) {
      this.#unsettled.deleteSpace(space);
      yield* this.#forgetAll(space.top);
      this.#spaces.close(space);
    }
    this.#calls.end();
  }

  /** Watches between two pages have been removed: drops what served only them. Never throws. */
  *prune({ space, first, last }: SpacePages): Stepwise<void> {
    if (!this.#unsettled.isEmpty) this.#unsettled.deleteReleased(space, first, last);
    if (space.ranges.isEmpty) space.rangeLimit.isCut = false;
    yield* space.prune(first, last, this.#forget);
    if (space.isEmpty) this.#spaces.close(space);
  }

  *#forgetAll(node: TableNode): Stepwise<void> {
    for (const child of node.children()) yield* this.#forgetAll(child);
    this.#forget(node);
    yield false;
  }

  /** Takes a node off its frame, which gets its access back with the last one. */
  readonly #forget = (node: TableNode): void => {
    const { frame } = node;
    if (frame === null) return;
    this.#rmap.detach(node);
    if (node.isCounted) node.space.rangeLimit.remove(frame.gfn, node.format);
    node.isCounted = false;
    node.frame = null;
    this.#tables.release(frame, node.space.view);
  };
}
