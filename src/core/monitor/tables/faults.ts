/** Failures that are no error of the call during which they happen: reported at its end, when everything is consistent (rule C9). */
import type { PtmonError } from '../../error.ts';

export class Faults {
  readonly #onFault: (fault: PtmonError) => void;
  #unreported: PtmonError[] = [];

  constructor(onFault: (fault: PtmonError) => void) {
    this.#onFault = onFault;
  }

  add(fault: PtmonError): void {
    this.#unreported.push(fault);
  }

  /** The listener may call the monitor. Never throws. */
  report(): void {
    if (this.#unreported.length === 0) return;
    const faults = this.#unreported;
    this.#unreported = [];
    for (const fault of faults) {
      try {
        this.#onFault(fault);
      } catch {
        // What the listener throws is not a failure of this call (rule C9).
      }
    }
  }
}
