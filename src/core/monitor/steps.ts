/**
 * The work of one call, in steps of some hundred entries: the caller may do something else in between.
 *
 * Each `yield` says whether the work can still be taken back: true until a plan is being committed.
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
