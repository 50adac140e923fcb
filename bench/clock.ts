/**
 * Wall-clock time minus the time in which the thread waited for a core: other work costs cache, but not clock.
 * Where `/proc/self/schedstat` of Linux is missing, this is plain wall-clock time.
 */
import { openSync, readSync } from 'node:fs';

const schedstat = open('/proc/self/schedstat');
const text = Buffer.alloc(64);

/** Milliseconds; only differences mean anything. */
export function workedMs(): number {
  return performance.now() - waitedMs();
}

/** The second number: nanoseconds that the thread was ready to run, and did not (Linux, Documentation/scheduler/sched-stats). */
function waitedMs(): number {
  if (schedstat === undefined) return 0;
  const length = readSync(schedstat, text, 0, text.length, 0);
  return Number(text.toString('latin1', 0, length).split(' ')[1]) / 1e6;
}

function open(path: string): number | undefined {
  try {
    return openSync(path, 'r');
  } catch {
    return undefined;
  }
}
