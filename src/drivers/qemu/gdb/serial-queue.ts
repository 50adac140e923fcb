/** Does pieces of work one after the other. */
export class SerialQueue {
  #last: Promise<void> = Promise.resolve();
  #unfinished = 0;
  readonly #finish = () => void this.#unfinished--;

  /** Does `work` once all earlier work is done, whether it failed or not; at once where there is none. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#unfinished === 0 ? work() : this.#last.then(work);
    this.#unfinished++;
    this.#last = mine.then(this.#finish, this.#finish);
    return mine;
  }
}
