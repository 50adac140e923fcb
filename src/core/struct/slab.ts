/** Objects by small numbers, reused once they are free: for what a typed array cannot store and must refer to. */
export class Slab<T> {
  readonly #places: (T | undefined)[] = [];
  readonly #free: number[] = [];

  put(object: T): number {
    const place = this.#free.pop() ?? this.#places.length;
    this.#places[place] = object;
    return place;
  }

  get(place: number): T {
    return this.#places[place]!;
  }

  free(place: number): void {
    this.#places[place] = undefined;
    this.#free.push(place);
  }
}
