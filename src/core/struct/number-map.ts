/**
 * Objects by number, for the look-ups of every write: open addressing over one typed array of keys, ten times as fast as a `Map`
 * (docs/decisions/0004-speed.md). The hash takes the low 32 bits of a key, which are nearly all bits of a frame number.
 */
const FREE = -1;
const LEAST = 8;

export class NumberMap<V extends object> {
  // At most half full, so that a key is found, or missed, within a probe or two.
  #keys = new Float64Array(LEAST).fill(FREE);
  #values: (V | undefined)[] = emptyValues(LEAST);
  #shift = shiftFor(LEAST);
  #size = 0;

  get size(): number {
    return this.#size;
  }

  /** @param key a non-negative integer */
  get(key: number): V | undefined {
    const keys = this.#keys;
    const mask = keys.length - 1;
    let at = scatter(key, this.#shift);
    while (keys[at] !== key) {
      if (keys[at] === FREE) return undefined;
      at = (at + 1) & mask;
    }
    return this.#values[at];
  }

  set(key: number, value: V): void {
    if (2 * (this.#size + 1) > this.#keys.length) this.#resize(2 * this.#keys.length);
    const at = this.#place(key);
    if (this.#keys[at] === FREE) this.#size++;
    this.#keys[at] = key;
    this.#values[at] = value;
  }

  delete(key: number): void {
    const keys = this.#keys;
    const mask = keys.length - 1;
    let free = this.#place(key);
    if (keys[free] === FREE) return;
    // Keys after it move up, where they may: a gap would end the search for them.
    for (let at = (free + 1) & mask; keys[at] !== FREE; at = (at + 1) & mask) {
      const distance = (at - scatter(keys[at]!, this.#shift)) & mask;
      if (distance < ((at - free) & mask)) continue;
      keys[free] = keys[at]!;
      this.#values[free] = this.#values[at];
      free = at;
    }
    keys[free] = FREE;
    this.#values[free] = undefined;
    this.#size--;
    if (keys.length > LEAST && 16 * this.#size < keys.length) this.#resize(Math.max(LEAST, keys.length / 4));
  }

  /** In an order that depends on nothing but the calls so far. */
  *values(): IterableIterator<V> {
    for (const value of this.#values) if (value !== undefined) yield value;
  }

  /** Where a key is, or would go. */
  #place(key: number): number {
    const mask = this.#keys.length - 1;
    let at = scatter(key, this.#shift);
    while (this.#keys[at] !== key && this.#keys[at] !== FREE) at = (at + 1) & mask;
    return at;
  }

  #resize(length: number): void {
    const [keys, values] = [this.#keys, this.#values];
    this.#keys = new Float64Array(length).fill(FREE);
    this.#values = emptyValues(length);
    this.#shift = shiftFor(length);
    keys.forEach((key, index) => {
      if (key === FREE) return;
      const at = this.#place(key);
      this.#keys[at] = key;
      this.#values[at] = values[index];
    });
  }
}

/** Neighbouring keys far apart: a product with the golden ratio of 2^32, of which the upper bits depend on all of the key. */
function scatter(key: number, shift: number): number {
  return Math.imul(key, 0x9e3779b1) >>> shift;
}

/** Leaves as many bits as `length`, a power of two, has places. */
function shiftFor(length: number): number {
  return Math.clz32(length) + 1;
}

function emptyValues<V>(length: number): (V | undefined)[] {
  return Array.from({ length }, () => undefined);
}
