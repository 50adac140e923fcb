/** Calls that read a guest that runs, and are repeated where it has changed what they rely on. */
import type { Stepwise } from '../steps.ts';

/** The guest runs while it is read, and has changed an entry above one that the plan has read: the plan may mix old and new tables. */
export class Disturbance extends Error {}

/** Repeats a call until it is not disturbed. A call that is disturbed must change nothing. */
export function* undisturbed<T>(call: () => Stepwise<T>): Stepwise<T> {
  for (;;) {
    try {
      return yield* call();
    } catch (error) {
      if (!(error instanceof Disturbance)) throw error;
    }
  }
}
