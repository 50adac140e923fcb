/** The entry that caused a batch's events: noted for every change, made into an object for the first event that needs it. */
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

  /** Begins the note of another entry. */
  entry(entryPa: number, level: number): this {
    this.#entryPa = entryPa;
    this.#level = level;
    this.#made = null;
    return this;
  }

  from(lo: number, hi: number): this {
    this.#oldLo = lo;
    this.#oldHi = hi;
    return this;
  }

  to(lo: number, hi: number): this {
    this.#newLo = lo;
    this.#newHi = hi;
    return this;
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
