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
  /** Most frames are protected in one view: its guard, or all of them by view, or none. */
  #guards: Guard | Map<number, Guard> | null = null;

  constructor(gfn: number) {
    this.gfn = gfn;
  }

  get isGuarded(): boolean {
    return this.#guards !== null;
  }

  /** A fresh array, ascending by view. */
  guards(): Guard[] {
    const guards = this.#guards;
    if (guards === null) return [];
    return guards instanceof Map ? [...guards.values()].sort((a, b) => a.view - b.view) : [guards];
  }

  /** The guard of a view. */
  guardOf(view: number): Guard | undefined {
    const guards = this.#guards;
    if (guards === null) return undefined;
    if (guards instanceof Map) return guards.get(view);
    return guards.view === view ? guards : undefined;
  }

  /** Adds the guard of a view that has none. */
  addGuard(guard: Guard): void {
    const guards = this.#guards;
    if (guards === null) this.#guards = guard;
    else if (guards instanceof Map) guards.set(guard.view, guard);
    else
      this.#guards = new Map([
        [guards.view, guards],
        [guard.view, guard],
      ]);
  }

  /** Removes the guard of a view that has one. */
  removeGuard({ view }: Guard): void {
    const guards = this.#guards;
    if (!(guards instanceof Map)) {
      this.#guards = null;
      return;
    }
    guards.delete(view);
    if (guards.size === 0) this.#guards = null;
  }
}
