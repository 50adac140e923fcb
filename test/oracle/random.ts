/** A small seeded generator (mulberry32): the same seed gives the same program on every machine. */
export class Random {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0;
  }

  /** 32 random bits. */
  bits(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), this.#state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  /** 0 to `limit` - 1. */
  below(limit: number): number {
    return this.bits() % limit;
  }

  /** True once in `n`. */
  oneIn(n: number): boolean {
    return this.below(n) === 0;
  }

  pick<T>(items: readonly T[]): T {
    return items[this.below(items.length)]!;
  }

  /** 64 random bits. */
  u64(): bigint {
    return (BigInt(this.bits()) << 32n) | BigInt(this.bits());
  }

  /** One of the names, as often as its weight says. */
  weighted<K extends string>(weights: Readonly<Record<K, number>>): K {
    const names = Object.keys(weights) as K[];
    let ticket = this.below(names.reduce((sum, name) => sum + weights[name], 0));
    return names.find((name) => (ticket -= weights[name]) < 0)!;
  }
}

/** The seed of the `index`th program of a run, spread so that neighbouring runs share none. */
export function programSeed(runSeed: number, index: number): number {
  const random = new Random(Math.imul(runSeed, 0x9e3779b1) ^ index);
  random.bits();
  return random.bits();
}
