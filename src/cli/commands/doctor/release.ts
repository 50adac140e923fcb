/** `--release`: resumes a guest that a client has left paused. */
import { type QmpClient, readRunState } from '../../../drivers/qemu/index.ts';
import type { GdbVisit } from '../../../drivers/qemu/gdb/index.ts';
import { canResume } from './run-state.ts';
import { type Check, failedBy, skipped } from './checks.ts';

/**
 * Ends the visit and reports the result. Connecting has cleared all watchpoints: QEMU does so for each new client.
 *
 * @param before the guest's state before the visit; undefined without QMP
 */
export async function release(visit: GdbVisit | undefined, qmp?: QmpClient, before?: string): Promise<Check> {
  if (visit === undefined) return skipped('release', 'nothing done: only the gdbstub clears watchpoints');
  try {
    await visit.leave();
    if (qmp === undefined || before === undefined) {
      return { name: 'release', outcome: 'ok', detail: 'watchpoints cleared, and the guest resumed' };
    }
    if (!canResume(before)) {
      return {
        name: 'release',
        outcome: 'failed',
        detail: `watchpoints cleared; the guest stays ${before}`,
      };
    }
    return outcomeOf(before, await readRunState(qmp));
  } catch (error) {
    return failedBy('release', error);
  }
}

function outcomeOf(before: string, after: string): Check {
  if (after !== 'running') {
    return { name: 'release', outcome: 'failed', detail: `watchpoints cleared, but the guest does not run: ${after}` };
  }
  const detail =
    before === 'running' ? 'the guest ran before, and still runs' : `the guest was stopped (${before}), and runs now`;
  return { name: 'release', outcome: 'ok', detail: `watchpoints cleared; ${detail}` };
}
