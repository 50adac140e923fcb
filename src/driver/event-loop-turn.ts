/** Keeps a source that never waits from starving everything else in the process. */
import { setImmediate } from 'node:timers/promises';

/** Long enough to cost nothing (a turn takes about 2 µs), short enough that Ctrl-C and a closed pipe are noticed at once. */
const TURN_INTERVAL_MS = 8;

/** A function that lets timers, signals and I/O have their turn, when they have not had one for a while. */
export function makeEventLoopTurn(): () => void | Promise<void> {
  let last = performance.now();
  return () => {
    if (performance.now() - last < TURN_INTERVAL_MS) return;
    return setImmediate().then(() => {
      last = performance.now();
    });
  };
}
