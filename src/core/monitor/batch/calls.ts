/**
 * The calls of a monitor, one at a time: the source that a call reads or protects must not make another one, apart from marks and
 * queries (docs/decisions/0002-silent-points.md). A call in steps that is between two of them is finished before another one begins.
 * Also what every call does at its end.
 */
import { PtmonError } from '../../error.ts';
import type { Faults } from '../tables/faults.ts';
import type { ProtectedTables } from '../tables/protected-tables.ts';

export interface CallsParts {
  readonly tables: ProtectedTables;
  readonly faults: Faults;
  /** `DirtyMarks`. */
  readonly marks: { readonly pending: number };
  /** `UnsettledAddresses`. */
  readonly unsettled: { readonly isEmpty: boolean };
  /** `FormerWalks`. */
  readonly formerWalks: { readonly isEmpty: boolean; clear(): void };
}

/** A call between two of its steps: `CallInSteps`. */
interface PausedCall {
  settle(): void;
}

/** No string: to store one takes a write barrier at each call. */
const RUNNING = true;

export class Calls {
  readonly #tables: ProtectedTables;
  readonly #faults: Faults;
  readonly #marks: CallsParts['marks'];
  readonly #unsettled: CallsParts['unsettled'];
  readonly #formerWalks: CallsParts['formerWalks'];
  #current: typeof RUNNING | PausedCall | null = null;

  constructor({ tables, faults, marks, unsettled, formerWalks }: CallsParts) {
    this.#tables = tables;
    this.#faults = faults;
    this.#marks = marks;
    this.#unsettled = unsettled;
    this.#formerWalks = formerWalks;
  }

  /**
   * To be called before a call begins. Finishes one that is between two of its steps.
   *
   * @throws PtmonError `nested-call` while another call is in progress: the source makes this one
   */
  admit(name: string): void {
    if (this.#current === null) return;
    if (this.#current === RUNNING) throw nestedCall(name);
    this.#current.settle();
  }

  begin(): void {
    this.#current = RUNNING;
  }

  /** The call that runs is between two of its steps from now on. */
  pause(call: PausedCall): void {
    if (this.#current === RUNNING) this.#current = call;
  }

  /** The next step of a call begins. */
  resume(call: PausedCall): void {
    if (this.#current === call) this.#current = RUNNING;
  }

  /** Finishes the call that is between two of its steps. */
  finishPaused(): void {
    if (this.#current !== null && this.#current !== RUNNING) this.#current.settle();
  }

  /** Drops the former walks that nothing in flight needs, restores what could not be restored before, and reports faults. */
  end(): void {
    if (!this.#formerWalks.isEmpty && this.#marks.pending === 0 && this.#unsettled.isEmpty) this.#formerWalks.clear();
    this.#tables.retryRestores();
    this.#current = null;
    // From here on the listener may call the monitor.
    this.#faults.report();
  }

  /** Runs a query that reads the source, from within another call or not. */
  query<T>(run: () => T): T {
    this.finishPaused();
    const before = this.#current;
    this.#current = RUNNING;
    try {
      return run();
    } finally {
      this.#current = before;
    }
  }
}

export function nestedCall(name: string): PtmonError {
  const what = `${name}() was called from within readEntry, stillHolds, getAccess or setAccess of the monitor's own source`;
  return new PtmonError(
    'nested-call',
    `${what}: there, only marks and queries may be called; call ${name}() after the outer call returns`,
  );
}
