/** The entry behind a batch of events: noted for every change, made into an object for the first event that needs it. */
import type { Pa } from '../../address/types.ts';
import { u64Of } from '../../address/va.ts';
import type { Cause } from '../events.ts';

export class CauseNote {
  #entryPa = 0;
  #level = 0;
  #oldLo = 0;
  #oldHi = 0;
  #newLo = 0;
  #newHi = 0;
  #made: Cause | null = null;

  note(entryPa: number, level: number, oldLo: number, oldHi: number, newLo: number, newHi: number): void {
    this.#entryPa = entryPa;
    this.#level = level;
    this.#oldLo = oldLo;
    this.#oldHi = oldHi;
    this.#newLo = newLo;
    this.#newHi = newHi;
    this.#made = null;
  }

  /** The same object for every event of one change. */
  get cause(): Cause {
    this.#made ??= {
      entryPa: this.#entryPa as Pa,
      level: this.#level,
      oldValue: u64Of(this.#oldLo, this.#oldHi),
      newValue: u64Of(this.#newLo, this.#newHi),
    };
    return this.#made;
  }
}
