/** A frame with a page table on some watched walk, and the protection of it (`ProtectedTables`). */
import type { PageAccess } from '../../memory/page-access.ts';

/** The write protection of a frame in one view. */
export interface Guard {
  readonly view: number;
  /** The access to restore. Null where there is none: the source has no protection, or the view is gone. */
  readonly captured: PageAccess | null;
  /** Nodes of this view that the frame backs. */
  users: number;
}

export class TableFrame {
  readonly gfn: number;
  /** Ascending by view. */
  readonly guards: Guard[] = [];

  constructor(gfn: number) {
    this.gfn = gfn;
  }

  /** The guard of a view. */
  guardOf(view: number): Guard | undefined {
    const guard = this.guards[this.#lowerBound(view)];
    return guard?.view === view ? guard : undefined;
  }

  addGuard(guard: Guard): void {
    this.guards.splice(this.#lowerBound(guard.view), 0, guard);
  }

  removeGuard({ view }: Guard): void {
    this.guards.splice(this.#lowerBound(view), 1);
  }

  #lowerBound(view: number): number {
    let low = 0;
    let high = this.guards.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.guards[middle]!.view < view) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
