/**
 * The write protection of the tables on watched walks (rule C2).
 *
 * A frame is protected once for each view, however many walks of that view use it. When the last of them goes, the frame gets back
 * exactly the access that it had. A restoration that fails is reported once, and tried again at every call (rule C9).
 */
import { PtmonError } from '../../error.ts';
import { ACCESS_WRITE, type PageAccess, type PageProtection } from '../../memory/page-access.ts';
import { NumberMap } from '../../struct/number-map.ts';
import type { Faults } from './faults.ts';
import { TableFrame } from './table-frame.ts';

const NO_FRAMES: readonly number[] = [];

/** Frames. A write that touches this many or more is a device's: XSAVE, the widest store, touches three. */
const WIDEST_STORE = 16;

export interface TableUser {
  readonly view: number;
  /** Whether the view may have been destroyed since its watch began (rule C2): then nothing is protected, and that is no error. */
  readonly viewMayBeGone: boolean;
  readonly level: number;
}

interface Unrestored {
  readonly view: number;
  readonly gfn: number;
  readonly access: PageAccess;
}

export class ProtectedTables {
  readonly #protection: PageProtection | undefined;
  readonly #faults: Faults;
  readonly #frames = new NumberMap<TableFrame>();
  #unrestored: Unrestored[] = [];

  constructor(protection: PageProtection | undefined, faults: Faults) {
    this.#protection = protection;
    this.#faults = faults;
  }

  /** Whether the source reports writes to protected tables; else only comparing finds changes. */
  get canTrap(): boolean {
    return this.#protection !== undefined;
  }

  get size(): number {
    return this.#frames.size;
  }

  frames(): IterableIterator<TableFrame> {
    return this.#frames.values();
  }

  /**
   * Adds a user of a frame in a view; the first one protects it.
   *
   * @throws whatever the source throws, with nothing changed
   */
  acquire(gfn: number, user: TableUser): TableFrame {
    const { view } = user;
    const known = this.#frames.get(gfn);
    const guard = known?.guardOf(view);
    if (known !== undefined && guard !== undefined) {
      guard.users++;
      return known;
    }
    const frame = known ?? new TableFrame(gfn);
    // Known before it is protected: the source may report writes that trap from within that very call (rule C3).
    this.#frames.set(gfn, frame);
    try {
      frame.addGuard({ view, captured: this.#protect(gfn, user), users: 1 });
    } catch (error) {
      if (!frame.isGuarded) this.#frames.delete(gfn);
      throw error;
    }
    return frame;
  }

  /** Removes a user of a frame; the last one restores its access. Never throws. */
  release(frame: TableFrame, view: number): void {
    const guard = frame.guardOf(view)!;
    guard.users--;
    if (guard.users > 0) return;
    frame.removeGuard(guard);
    // Known until it is restored: the source may report writes that have trapped from within that very call.
    if (guard.captured !== null) this.#restoreOrKeep({ view, gfn: frame.gfn, access: guard.captured });
    if (!frame.isGuarded) this.#frames.delete(frame.gfn);
  }

  #restoreOrKeep(unrestored: Unrestored): void {
    const failure = this.#restore(unrestored);
    if (failure === undefined) return;
    this.#unrestored.push(unrestored);
    this.#faults.add(faultOf(unrestored, failure));
  }

  /**
   * The frames of a write from `first` to `last` that must be remembered until it lands; none where it does not trap.
   *
   * All of them, watched or not: what the write touches beside a table that traps may be watched by then (C1). Of a write that is
   * too wide for a store, as a device makes it, only the frames that trap.
   */
  framesInFlight(first: number, last: number): readonly number[] {
    if (first === last) return this.traps(first) ? [first] : NO_FRAMES;
    if (last - first < WIDEST_STORE) {
      const frames = Array.from({ length: last - first + 1 }, (_, index) => first + index);
      return frames.some((gfn) => this.traps(gfn)) ? frames : NO_FRAMES;
    }
    const trapping = new Set([...this.#frames.values(), ...this.#unrestored].map(({ gfn }) => gfn));
    return [...trapping].filter((gfn) => gfn >= first && gfn <= last).sort((a, b) => a - b);
  }

  /** Whether writes to a frame trap. */
  traps(gfn: number): boolean {
    return this.#frames.get(gfn) !== undefined || this.#unrestored.some((each) => each.gfn === gfn);
  }

  /**
   * Whether writes to a frame trap though it backs no node: it is being protected right now, or could not be restored.
   *
   * @param mapped how many frames back a node (`ReverseMap.size`). Usually all protected frames do, and then nothing is looked up
   */
  trapsUnmapped(gfn: number, mapped: number): boolean {
    return (this.#frames.size !== mapped || this.#unrestored.length > 0) && this.traps(gfn);
  }

  /** Tries again to restore what could not be restored. Never throws. */
  retryRestores(): void {
    if (this.#unrestored.length > 0) {
      this.#unrestored = this.#unrestored.filter((each) => this.#restore(each) !== undefined);
    }
  }

  #protect(gfn: number, { view, viewMayBeGone, level }: TableUser): PageAccess | null {
    if (this.#protection === undefined) return null;
    const at = this.#unrestored.findIndex((each) => each.view === view && each.gfn === gfn);
    let access: PageAccess | undefined;
    try {
      access = at < 0 ? this.#protection.getAccess(view, gfn) : this.#unrestored[at]!.access;
      this.#protection.setAccess(view, gfn, access & ~ACCESS_WRITE, level);
    } catch (error) {
      if (isGoneView(error)) {
        if (viewMayBeGone) return null;
      } else if (access !== undefined && at < 0) {
        // The next capture must not take an access that was set before the failure for the original one.
        if (this.#mayHaveSet(view, gfn, access)) this.#restoreOrKeep({ view, gfn, access });
      }
      throw error;
    }
    if (at >= 0) this.#unrestored.splice(at, 1);
    return access;
  }

  /** Whether an access is, or may be, another than it was. */
  #mayHaveSet(view: number, gfn: number, access: PageAccess): boolean {
    try {
      return this.#protection!.getAccess(view, gfn) !== access;
    } catch {
      return true;
    }
  }

  /** Returns the failure; undefined where it worked, or where the view is gone. */
  #restore(unrestored: Unrestored): unknown {
    try {
      this.#protection!.setAccess(unrestored.view, unrestored.gfn, unrestored.access);
    } catch (error) {
      return isGoneView(error) ? undefined : (error ?? new Error('unknown'));
    }
    return undefined;
  }
}

function faultOf(unrestored: Unrestored, cause: unknown): PtmonError {
  const where = `frame 0x${unrestored.gfn.toString(16)} in view ${unrestored.view}`;
  const what = `could not restore access ${unrestored.access} of ${where}; will try again`;
  return new PtmonError('restore-failed', what, unrestored, { cause });
}

function isGoneView(error: unknown): boolean {
  return error instanceof PtmonError && error.code === 'no-such-view';
}
