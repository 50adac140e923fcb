/** Does pieces of work one after the other. */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** Does `work` once all earlier work is done, whether it failed or not. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => {});
    return mine;
  }
}
