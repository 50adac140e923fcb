/**
 * The tables on some watched walk, and the access that was taken from each (rule C2).
 *
 * A frame is protected once a view, however many walks of that view use it, and gets back exactly what it had when the last
 * of them leaves. What cannot be given back is said once, kept, and tried again (rule C9).
 */
import { PtmonError } from '../../error.ts';
import { ACCESS_WRITE, type PageAccess, type PageProtection } from '../../memory/page-access.ts';
import { NumberMap } from '../../struct/number-map.ts';
import { NodesByFrame } from './rmap.ts';

/** What one view's protection of a frame took away. */
interface Guard {
  readonly view: number;
  /** Null when there is nothing to give back: no protection in this source, or the view is gone. */
  readonly captured: PageAccess | null;
  holders: number;
}

/** A frame that holds a table on some watched walk. */
export class TableFrame {
  readonly gfn: number;
  readonly guards: Guard[] = [];

  constructor(gfn: number) {
    this.gfn = gfn;
  }
}

const NO_FRAMES: readonly number[] = [];

/** Frames. XSAVE, the widest of all, writes three. */
const WIDEST_STORE = 16;

interface Unrestored {
  readonly view: number;
  readonly gfn: number;
  readonly access: PageAccess;
}

export class ProtectedTables {
  readonly #protection: PageProtection | undefined;
  readonly #onFault: (fault: PtmonError) => void;
  readonly #frames = new NumberMap<TableFrame>();
  /** Who walks through them. */
  readonly nodes = new NodesByFrame();
  #unrestored: Unrestored[] = [];
  /** Told at the end of the call, when all is in order: whoever is told may call the monitor. */
  #untold: PtmonError[] = [];

  constructor(protection: PageProtection | undefined, onFault: (fault: PtmonError) => void) {
    this.#protection = protection;
    this.#onFault = onFault;
  }

  /** Whether a write to a protected table is reported, or changes are found by comparing only. */
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
   * Holds a frame for one walk of a view; the first holder protects it.
   *
   * @param viewMayBeGone true where walks that are already watched move on: their view may have been destroyed (rule C2)
   * @throws whatever the source throws, with nothing changed
   */
  acquire(gfn: number, view: number, viewMayBeGone: boolean): TableFrame {
    const known = this.#frames.get(gfn);
    const guard = known?.guards.find((each) => each.view === view);
    if (known !== undefined && guard !== undefined) {
      guard.holders++;
      return known;
    }
    const frame = known ?? new TableFrame(gfn);
    // Known before it is protected: what traps from then on may be reported from within that very call (rule C3).
    this.#frames.set(gfn, frame);
    try {
      frame.guards.push({ view, captured: this.#protect(gfn, view, viewMayBeGone), holders: 1 });
    } catch (error) {
      if (frame.guards.length === 0) this.#frames.delete(gfn);
      throw error;
    }
    return frame;
  }

  /** Lets go of a frame; the last holder restores it. Never throws. */
  release(frame: TableFrame, view: number): void {
    const at = frame.guards.findIndex((each) => each.view === view);
    const guard = frame.guards[at]!;
    guard.holders--;
    if (guard.holders > 0) return;
    frame.guards.splice(at, 1);
    // Known until it is restored: what has trapped may be reported from within that very call.
    if (guard.captured !== null) this.#giveBack({ view, gfn: frame.gfn, access: guard.captured });
    if (frame.guards.length === 0) this.#frames.delete(frame.gfn);
  }

  #giveBack(debt: Unrestored): void {
    const failure = this.#restore(debt);
    if (failure === undefined) return;
    this.#unrestored.push(debt);
    this.#untold.push(faultOf(debt, failure));
  }

  /**
   * The frames of a write from `first` to `last` that must be remembered until it lands; none, where it does not trap.
   *
   * All of them, watched or not: what it writes beside a table that traps may be watched by then (C1). Only what no store can
   * be wide enough for, and a device may, is narrowed down to the frames that trap.
   */
  framesInFlight(first: number, last: number): readonly number[] {
    if (last - first < WIDEST_STORE) {
      const frames = Array.from({ length: last - first + 1 }, (_, index) => first + index);
      return frames.some((gfn) => this.traps(gfn)) ? frames : NO_FRAMES;
    }
    const trapping = new Set([...this.#frames.values(), ...this.#unrestored].map(({ gfn }) => gfn));
    return [...trapping].filter((gfn) => gfn >= first && gfn <= last).sort((a, b) => a - b);
  }

  /** Whether writes to a frame trap. */
  traps(gfn: number): boolean {
    return this.nodes.firstIn(gfn) !== null || this.trapsForNobody(gfn);
  }

  /** Whether writes to a frame trap though it backs no node: not yet, because it is just being protected, or no more. */
  trapsForNobody(gfn: number): boolean {
    if (this.#frames.size === this.nodes.size && this.#unrestored.length === 0) return false;
    return this.#frames.get(gfn) !== undefined || this.#unrestored.some((debt) => debt.gfn === gfn);
  }

  /** Whether there is anything for `settleDebts` to do. */
  get hasDebts(): boolean {
    return this.#unrestored.length > 0 || this.#untold.length > 0;
  }

  /** Tries again what could not be restored, and says what has failed since the last call. Never throws. */
  settleDebts(): void {
    if (this.#unrestored.length > 0) {
      this.#unrestored = this.#unrestored.filter((debt) => this.#restore(debt) !== undefined);
    }
    if (this.#untold.length > 0) this.#tell();
  }

  #protect(gfn: number, view: number, viewMayBeGone: boolean): PageAccess | null {
    if (this.#protection === undefined) return null;
    const debt = this.#unrestored.findIndex((each) => each.view === view && each.gfn === gfn);
    try {
      const access = debt < 0 ? this.#protection.getAccess(view, gfn) : this.#unrestored[debt]!.access;
      this.#protection.setAccess(view, gfn, access & ~ACCESS_WRITE);
      if (debt >= 0) this.#unrestored.splice(debt, 1);
      return access;
    } catch (error) {
      if (viewMayBeGone && isGoneView(error)) return null;
      throw error;
    }
  }

  /** Undefined when it worked, or when there is no such view to restore it in. */
  #restore(debt: Unrestored): unknown {
    try {
      this.#protection!.setAccess(debt.view, debt.gfn, debt.access);
    } catch (error) {
      return isGoneView(error) ? undefined : (error ?? new Error('unknown'));
    }
    return undefined;
  }

  #tell(): void {
    const faults = this.#untold;
    this.#untold = [];
    for (const fault of faults) {
      try {
        this.#onFault(fault);
      } catch {
        // A listener's own failure is not one of the call during which it is told (rule C9).
      }
    }
  }
}

function faultOf(debt: Unrestored, cause: unknown): PtmonError {
  const where = `frame 0x${debt.gfn.toString(16)} in view ${debt.view}`;
  const what = `could not restore access ${debt.access} of ${where}; will try again`;
  return new PtmonError('restore-failed', what, debt, { cause });
}

function isGoneView(error: unknown): boolean {
  return error instanceof PtmonError && error.code === 'no-such-view';
}
