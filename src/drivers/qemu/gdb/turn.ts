/** Lets one thing be done after the other. */
export class Turn {
  #last: Promise<unknown> = Promise.resolve();

  /** Does `work` once all that was asked for before is done, whether it failed or not. */
  run<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#last.then(work);
    this.#last = mine.catch(() => {});
    return mine;
  }
}
