/** Whether a guest runs, and who stopped it: QEMU, qapi/run-state.json, RunState. */
import { PtmonError } from '../../../core/error.ts';
import type { QmpClient, QmpCommandOptions } from './client.ts';

/** @returns QEMU's word: `running`, `paused`, `debug`, `prelaunch`, … @throws PtmonError as `QmpClient.execute` */
export async function readRunState(qmp: QmpClient, options: QmpCommandOptions = {}): Promise<string> {
  const { status } = ((await qmp.execute('query-status', undefined, options)) ?? {}) as { readonly status?: unknown };
  if (typeof status === 'string') return status;
  throw new PtmonError('corrupt-input', `${qmp.address}: QEMU does not say whether the guest runs`);
}

/** States of a guest that is to run: one that a debugger has stopped is, too. */
const MEANT_TO_RUN: ReadonlySet<string> = new Set(['running', 'debug']);

export function isMeantToRun(state: string): boolean {
  return MEANT_TO_RUN.has(state);
}

/** Whether a debugger brings a state about; `paused` is also what QMP's `stop` leads to. */
export function isBroughtAboutByUs(state: string): boolean {
  return isMeantToRun(state) || state === 'paused';
}
