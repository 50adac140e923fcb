/**
 * The calls of a monitor, one at a time: the source that a call reads or protects must not make another one, apart from marks and
 * queries (docs/decisions/0002-silent-points.md). Also what every call does at its end.
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

export class Calls {
  readonly #tables: ProtectedTables;
  readonly #faults: Faults;
  readonly #marks: CallsParts['marks'];
  readonly #unsettled: CallsParts['unsettled'];
  readonly #formerWalks: CallsParts['formerWalks'];
  #isBusy = false;

  constructor({ tables, faults, marks, unsettled, formerWalks }: CallsParts) {
    this.#tables = tables;
    this.#faults = faults;
    this.#marks = marks;
    this.#unsettled = unsettled;
    this.#formerWalks = formerWalks;
  }

  /** @throws PtmonError `nested-call` while another call is in progress: the source makes this one */
  refuseNested(name: string): void {
    if (this.#isBusy) throw nestedCall(name);
  }

  begin(): void {
    this.#isBusy = true;
  }

  /** Drops the former walks that nothing in flight needs, restores what could not be restored before, and reports faults. */
  end(): void {
    if (!this.#formerWalks.isEmpty && this.#marks.pending === 0 && this.#unsettled.isEmpty) this.#formerWalks.clear();
    this.#tables.retryRestores();
    this.#isBusy = false;
    // From here on the listener may call the monitor.
    this.#faults.report();
  }

  /** Runs a query that reads the source, from within another call or not. */
  query<T>(run: () => T): T {
    const wasBusy = this.#isBusy;
    this.#isBusy = true;
    try {
      return run();
    } finally {
      this.#isBusy = wasBusy;
    }
  }
}

function nestedCall(name: string): PtmonError {
  const what = `${name}() was called from within readEntry, stillHolds, getAccess or setAccess of the monitor's own source`;
  return new PtmonError('nested-call', `${what}: only marks and queries may be; call it after the outer call returns`);
}
