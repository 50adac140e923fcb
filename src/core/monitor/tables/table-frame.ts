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
  readonly guards: Guard[] = [];

  constructor(gfn: number) {
    this.gfn = gfn;
  }
}
