/**
 * A call of the monitor that its caller carries out step by step. Between two steps the caller may let signals and timers have their
 * turn. Nobody sees a call that is half done: any other call of the monitor but a mark finishes it first.
 */
import { type Calls, nestedCall } from './batch/calls.ts';
import type { Stepwise } from './steps.ts';

type Outcome<T> = { readonly result: T } | { readonly error: unknown };

export class CallInSteps<T> {
  readonly #calls: Calls;
  readonly #work: Stepwise<T>;
  /** Called once the call has succeeded, also where another call finished it. */
  onSuccess: (() => void) | undefined;
  #isRunning = false;
  #canCancel = true;
  #outcome: Outcome<T> | undefined;

  /** @internal */
  constructor(calls: Calls, work: Stepwise<T>) {
    this.#calls = calls;
    this.#work = work;
  }

  /** Does the next step, well below a millisecond of work. Returns false once nothing is left to do: `finish` then has the result. */
  advance(): boolean {
    if (this.#outcome === undefined) this.#step(() => this.#work.next());
    return this.#outcome === undefined;
  }

  /** Does the rest. @returns what the call returns @throws what the call throws; after `cancel` its reason */
  finish(): T {
    this.settle();
    const outcome = this.#outcome!;
    if ('error' in outcome) throw outcome.error;
    return outcome.result;
  }

  /** Does the rest without a result: `finish` still has it. */
  settle(): void {
    while (this.advance());
  }

  /**
   * Takes the call back, in the steps that follow: then everything is as it was before it (rule C9). Returns whether it could: not once it is
   * done, nor while it is being committed or taken back. Go on in either case.
   */
  cancel(reason: unknown): boolean {
    if (this.#outcome !== undefined || !this.#canCancel) return false;
    this.#step(() => this.#work.throw(reason));
    return true;
  }

  #step(go: () => IteratorResult<boolean, T>): void {
    if (this.#isRunning) throw nestedCall('advance');
    this.#isRunning = true;
    this.#calls.resume(this);
    try {
      const { done, value } = go();
      if (done === true) this.#outcome = { result: value };
      else this.#canCancel = value;
    } catch (error) {
      this.#outcome = { error };
    } finally {
      this.#isRunning = false;
    }
    if (this.#outcome === undefined) this.#calls.pause(this);
    else if ('result' in this.#outcome) this.onSuccess?.();
  }
}
