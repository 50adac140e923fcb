/**
 * Whether the guest is on its way to another host. QEMU aborts when a guest that it has stopped for the last step is let run, and a
 * stop of ours hides that it has.
 */
import type { QmpClient } from '../../qmp/client.ts';
import { isMigrating } from '../../qmp/migration.ts';

const POLL_MS = 100;

export class Migrations {
  readonly #qmp: QmpClient;
  readonly #areReported: boolean;
  #isUnderWay = false;
  #askAgainMs = 0;

  /** @param areReported QEMU tells of them (`hear`): else it is asked every tenth of a second, since an answer takes as long as a stop */
  constructor(qmp: QmpClient, areReported: boolean) {
    this.#qmp = qmp;
    this.#areReported = areReported;
  }

  /** Whether one is known to be under way, or is to be asked for. */
  get mayBeUnderWay(): boolean {
    return this.#areReported ? this.#isUnderWay : performance.now() >= this.#askAgainMs;
  }

  areUnderWay(): boolean | Promise<boolean> {
    if (this.#areReported || !this.mayBeUnderWay) return this.#isUnderWay;
    this.#askAgainMs = performance.now() + POLL_MS;
    // Of a QEMU that ends, or does not answer, others tell.
    return isMigrating(this.#qmp).catch(() => false);
  }

  /** QEMU has reported a step. Returns whether one has just begun. */
  hear(isUnderWay: boolean): boolean {
    const hasBegun = isUnderWay && !this.#isUnderWay;
    this.#isUnderWay = isUnderWay;
    return hasBegun;
  }

  /** Calls `onOver` when none is under way any more, until `end`. */
  untilOver(onOver: () => void): { end(): void } {
    const ask = () => isMigrating(this.#qmp).then((goesOn) => goesOn || onOver());
    const poll = setInterval(() => void ask().catch(() => {}), POLL_MS);
    return { end: () => clearInterval(poll) };
  }
}
