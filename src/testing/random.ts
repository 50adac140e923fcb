/**
 * Seeded pseudo-random numbers: the same seed gives the same sequence on every machine.
 *
 * The generator is xoshiro128** 1.1 (Blackman and Vigna, prng.di.unimi.it, public domain), its state filled by splitmix32.
 */
import { PtmonError } from '../core/error.ts';

const WORD = 2 ** 32;

export class Random {
  #a: number;
  #b: number;
  #c: number;
  #d: number;

  /**
   * @param stream separates independent sequences of the same seed
   * @throws PtmonError `bad-argument` for a seed that is not an integer from 0 to 2^53 - 1
   */
  constructor(seed: number, stream = 0) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new PtmonError('bad-argument', `seed ${seed} is not an integer from 0 to 2^53 - 1`);
    }
    let state = (seed % WORD) ^ Math.imul(Math.floor(seed / WORD), 0x85ebca6b) ^ Math.imul(stream, 0xc2b2ae35);
    const splitmix = (): number => {
      state = (state + 0x9e3779b9) | 0;
      let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
      mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
      return mixed ^ (mixed >>> 15);
    };
    this.#a = splitmix();
    this.#b = splitmix();
    this.#c = splitmix();
    this.#d = splitmix() | 1;
  }

  /** 32 random bits. */
  next(): number {
    const product = Math.imul(this.#b, 5);
    const result = Math.imul((product << 7) | (product >>> 25), 9);
    const shifted = this.#b << 9;
    this.#c ^= this.#a;
    this.#d ^= this.#b;
    this.#b ^= this.#c;
    this.#a ^= this.#d;
    this.#c ^= shifted;
    this.#d = (this.#d << 11) | (this.#d >>> 21);
    return result >>> 0;
  }

  /** An integer from 0 to `limit` - 1; `limit` at most 2^32. */
  below(limit: number): number {
    return Math.floor((this.next() / WORD) * limit);
  }

  /** An integer from `low` to `high`, both included. */
  between(low: number, high: number): number {
    return low + this.below(high - low + 1);
  }

  /** True once in `n`, on average. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  /** One of the items; there must be one. */
  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }
}
