/** Long calls of the monitor, carried out so that signals, timers and I/O have their turn in between. */
import { makeEventLoopTurn } from './event-loop-turn.ts';

/** The monitor's `CallInSteps`, of which a driver knows no more. */
export interface StepwiseCall<T> {
  /** Does the next step. Returns false once nothing is left to do. */
  advance(): boolean;
  /** Does the rest. @throws what the call throws */
  finish(): T;
  /** Takes the call back where that is still possible. */
  cancel(reason: unknown): boolean;
}

/**
 * Carries a call out; at once where that is one step.
 *
 * @param signal takes the call back where that is still possible
 * @throws what the call throws; the reason of `signal`, and then nothing has changed
 */
export function carryOut<T>(call: StepwiseCall<T>, signal?: AbortSignal): T | Promise<T> {
  return call.advance() ? goOn(call, signal) : call.finish();
}

async function goOn<T>(call: StepwiseCall<T>, signal: AbortSignal | undefined): Promise<T> {
  const letOthersRun = makeEventLoopTurn();
  while (call.advance()) {
    const turn = letOthersRun();
    if (turn === undefined) continue;
    await turn;
    if (signal?.aborted === true) call.cancel(signal.reason);
  }
  return call.finish();
}
