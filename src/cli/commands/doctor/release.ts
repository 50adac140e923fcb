/** `--release`: lets a guest run that a client has left standing still. */
import { type QmpClient, readRunState } from '../../../drivers/qemu/index.ts';
import type { GdbVisit } from '../../../drivers/qemu/gdb/index.ts';
import { canBeLetRun } from '../../live/run-state.ts';
import { type Check, failedBy, skipped } from './checks.ts';

/**
 * Ends the visit, and says what that has done. To connect has cleared all watchpoints: QEMU does so for each new client.
 *
 * @param before the guest's state before the visit; undefined without QMP
 */
export async function release(visit: GdbVisit | undefined, qmp?: QmpClient, before?: string): Promise<Check> {
  if (visit === undefined) return skipped('release', 'nothing was done: only the gdbstub clears watchpoints');
  try {
    await visit.leave();
    if (qmp === undefined || before === undefined) {
      return { name: 'release', outcome: 'ok', detail: 'watchpoints cleared, and the guest was told to run' };
    }
    if (!canBeLetRun(before)) {
      return {
        name: 'release',
        outcome: 'failed',
        detail: `watchpoints cleared; the guest is left as it is: ${before}`,
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
    before === 'running' ? 'it ran before, and runs on' : `the guest stood still (${before}), and runs now`;
  return { name: 'release', outcome: 'ok', detail: `watchpoints cleared; ${detail}` };
}
