/** Makes reads and protection calls of any source fail on demand, and counts them. */
import { hex } from '../core/address/va.ts';
import { PtmonError } from '../core/error.ts';
import type { PageAccess, PageProtection } from '../core/memory/page-access.ts';
import type { PhysicalMemory, ReadOutcome } from '../core/memory/physical-memory.ts';

/** The calls that can fail. */
export type FaultPoint = 'read' | 'getAccess' | 'setAccess';

interface Plan {
  readonly from: number;
  readonly until: number;
}

export class FaultInjector {
  readonly #calls: Record<FaultPoint, number> = { read: 0, getAccess: 0, setAccess: 0 };
  readonly #failures: Record<FaultPoint, number> = { read: 0, getAccess: 0, setAccess: 0 };
  readonly #plans: Partial<Record<FaultPoint, Plan>> = {};

  /** Calls so far, failed ones included. */
  get calls(): Readonly<Record<FaultPoint, number>> {
    return { ...this.#calls };
  }

  /** Calls that were made to fail so far. */
  get failures(): Readonly<Record<FaultPoint, number>> {
    return { ...this.#failures };
  }

  /**
   * The `nth` call from now (1 is the next) fails, and so do those after it up to `times` in all; `Infinity` for every one
   * until `heal`. A new plan replaces the old one of the same point.
   *
   * @throws PtmonError `bad-argument`
   */
  fail(point: FaultPoint, nth: number, times = 1): void {
    if (!Number.isInteger(nth) || nth < 1 || !(times >= 1)) {
      throw new PtmonError('bad-argument', `cannot fail ${point} ${times} times from call ${nth} on`);
    }
    const from = this.#calls[point] + nth;
    this.#plans[point] = { from, until: from + times };
  }

  /** Nothing fails any more. */
  heal(): void {
    for (const point of Object.keys(this.#calls) as FaultPoint[]) delete this.#plans[point];
  }

  /** The same memory, whose `read` may fail with PtmonError `read-failed`. */
  memory(source: PhysicalMemory): PhysicalMemory {
    return {
      readEntry: (pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome => {
        if (this.#fails('read'))
          throw new PtmonError('read-failed', `read of ${hex(pa)} was made to fail`, { entryPa: pa });
        return source.readEntry(pa, byteLength, out);
      },
    };
  }

  /** The same protection, whose calls may fail with PtmonError `protect-failed`; a failed `setAccess` has set nothing. */
  protection(source: PageProtection): PageProtection {
    const check = (point: 'getAccess' | 'setAccess', view: number, gfn: number): void => {
      if (!this.#fails(point)) return;
      throw new PtmonError('protect-failed', `${point} of frame ${hex(gfn)} in view ${view} was made to fail`, {
        view,
        gfn,
      });
    };
    return {
      getAccess: (view: number, gfn: number): PageAccess => {
        check('getAccess', view, gfn);
        return source.getAccess(view, gfn);
      },
      setAccess: (view: number, gfn: number, access: PageAccess): void => {
        check('setAccess', view, gfn);
        source.setAccess(view, gfn, access);
      },
    };
  }

  #fails(point: FaultPoint): boolean {
    const call = ++this.#calls[point];
    const plan = this.#plans[point];
    if (plan === undefined || call < plan.from || call >= plan.until) return false;
    this.#failures[point]++;
    return true;
  }
}
