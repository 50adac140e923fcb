/** What must be fetched before an enumeration can go on. */
import { gfnOf } from '../address/pa.ts';
import type { Pa } from '../address/types.ts';
import { hex } from '../address/va.ts';
import { PtmonError } from '../error.ts';

/** Frames that one `not-fetched` error asks for at most: 4 MiB. */
export const MISSING_LIMIT = 1024;

export class MissingTables {
  readonly #addresses = new Map<number, Pa>();
  readonly #visited = new Set<number>();

  get found(): boolean {
    return this.#addresses.size > 0;
  }

  /** Notes one address for each frame. Returns whether that is enough for one error. */
  add(entryPa: number): boolean {
    const gfn = gfnOf(entryPa);
    if (!this.#addresses.has(gfn)) this.#addresses.set(gfn, entryPa as Pa);
    return this.#addresses.size >= MISSING_LIMIT;
  }

  /** Whether this table is met as one of this level for the first time. */
  firstVisit(level: number, tablePa: number): boolean {
    // Tables below the root are 4 KiB aligned: the low bits are free to tell levels apart.
    const key = tablePa + level;
    if (this.#visited.has(key)) return false;
    this.#visited.add(key);
    return true;
  }

  /** @throws PtmonError `not-fetched` if anything is missing */
  report(root: number): void {
    if (!this.found) return;
    const missing = [...this.#addresses.values()];
    throw new PtmonError(
      'not-fetched',
      `the tables of root ${hex(root)} are not all fetched yet; missing: ${missing.length}, the first at ${hex(missing[0]!)}`,
      { root, missing },
    );
  }
}
