/**
 * Work of one call in steps: each is some hundred entries, so that the caller may do something else in between.
 *
 * Work yields whether it can still be taken back. Once a plan is being committed it cannot.
 */
export type Stepwise<T> = Generator<boolean, T, void>;

/** Does all of it at once. */
export function finish<T>(work: Stepwise<T>): T {
  for (;;) {
    const step = work.next();
    if (step.done === true) return step.value;
  }
}

/** Work that takes no step. */
export function* noSteps<T>(result: T): Stepwise<T> {
  return result;
}

/** Entries, or pages, of one step where their number has no other bound. */
const STEP = 512;

/** Whether a loop has done the entries of one step. */
export function isStepDone(index: number): boolean {
  return index % STEP === STEP - 1;
}
