/** Whether a guest runs, and who stopped it: QEMU, qapi/run-state.json, RunState. */
import { PtmonError } from '../../core/error.ts';
import type { QmpClient } from '../../drivers/qemu/index.ts';

/** @returns QEMU's word: `running`, `paused`, `debug`, `prelaunch`, … @throws PtmonError as `QmpClient.execute` */
export async function readRunState(qmp: QmpClient): Promise<string> {
  const { status } = ((await qmp.execute('query-status')) ?? {}) as { readonly status?: unknown };
  if (typeof status === 'string') return status;
  throw new PtmonError('corrupt-input', `${qmp.address}: QEMU does not say whether the guest runs`);
}

/** What stands still because a client of QEMU wanted it to, and runs as before when another one wants that. */
const HELD: ReadonlySet<string> = new Set(['paused', 'debug', 'prelaunch']);

/** Whether it helps a guest in this state to be let run: not one that has panicked, or is on its way to another host. */
export function canBeLetRun(state: string): boolean {
  return state === 'running' || HELD.has(state);
}
