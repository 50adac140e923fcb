/** Faults of a guest's memory: as many as a reader can use, since a guest can have as many as it likes. */
const MAX_FAULTS = 100;

export class FaultList {
  readonly #texts = new Set<string>();
  #more = 0;

  /** Adds one, unless it is there already. */
  readonly note = (text: string): void => {
    if (this.#texts.has(text)) return;
    if (this.#texts.size < MAX_FAULTS) this.#texts.add(text);
    else this.#more++;
  };

  /** Human-readable, in the order in which they were found. */
  get texts(): string[] {
    return this.#more === 0 ? [...this.#texts] : [...this.#texts, `${this.#more} more faults, not listed`];
  }
}
