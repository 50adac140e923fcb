/** From a stop of the guest to what is reported of it: the write, its commit, and what is compared. */
import type { SourceEvent } from '../../../../driver/driver.ts';
import type { EntryRun } from '../watchpoints/entry-runs.ts';
import type { Comparisons } from './comparisons.ts';
import type { MissedWrites } from './missed-writes.ts';

/** What a watchpoint told of, where one has stopped the guest. */
export interface WatchpointHit {
  readonly vcpu: number;
  /** What the instruction may have written to, of what is trapped. */
  readonly runs: readonly EntryRun[];
}

export interface BatchesParts {
  readonly comparisons: Comparisons;
  readonly missedWrites: MissedWrites;
  /** Told before each comparison of everything: whether no watchpoint has caused the stop. */
  readonly onComparing: (isQuiet: boolean) => void;
}

export class Batches {
  readonly #parts: BatchesParts;
  /** The guest was stopped to compare everything: what was noted differs, or cannot be read. */
  #isCheckDue = false;

  constructor(parts: BatchesParts) {
    this.#parts = parts;
  }

  /** The next stop is made for a comparison that should find nothing. */
  expectCheck(): void {
    this.#isCheckDue = true;
  }

  /**
   * @param isSure whether what happened since the last stop is known
   * @param doubt why changes may have gone unseen since then; undefined where none can have
   */
  of(hit: WatchpointHit | undefined, isSure: boolean, doubt: string | undefined): SourceEvent[] {
    const { comparisons, missedWrites, onComparing } = this.#parts;
    const batch: SourceEvent[] = [];
    if (hit !== undefined) {
      const { vcpu } = hit;
      for (const run of hit.runs) batch.push({ kind: 'write', vcpu, view: 0, ...run });
      batch.push({ kind: 'commit', vcpu });
    }
    if (missedWrites.isSampling) return [...batch, { kind: 'missed', reason: 'sampled', lost: null }];
    const lost = doubt === undefined ? 0 : null;
    if (hit !== undefined && isSure && !this.#isCheckDue && !comparisons.isDue()) {
      if (comparisons.mayMerge) {
        comparisons.owe();
        return [...batch, { kind: 'missed', reason: doubt ?? 'stops merge', lost, scope: 'above' }];
      }
      if (doubt === undefined) return batch;
    }
    comparisons.done();
    // A pause may have come between a write and its stop: QEMU then names a wrong watchpoint at the next stop.
    if (hit === undefined) comparisons.distrust();
    // One vCPU stops at each of its writes: nothing merges.
    const isCheck = isSure && (this.#isCheckDue || (hit !== undefined && !comparisons.mayMerge));
    const isQuiet = this.#isCheckDue && hit === undefined;
    onComparing(isQuiet);
    this.#isCheckDue = false;
    const reason = doubt ?? (isQuiet ? 'compared' : 'stops merge');
    return [...batch, { kind: 'missed', reason, lost, ...(isCheck && { isCheck }) }];
  }
}
