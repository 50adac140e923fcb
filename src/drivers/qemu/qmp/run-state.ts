/** Whether a guest runs, and who stopped it: QEMU, qapi/run-state.json, RunState. */
import { PtmonError } from '../../../core/error.ts';
import type { QmpClient, QmpCommandOptions } from './client.ts';

/** @returns QEMU's word: `running`, `paused`, `debug`, `prelaunch`, … @throws PtmonError as `QmpClient.execute` */
export async function readRunState(qmp: QmpClient, options: QmpCommandOptions = {}): Promise<string> {
  const { status } = ((await qmp.execute('query-status', undefined, options)) ?? {}) as { readonly status?: unknown };
  if (typeof status === 'string') return status;
  throw new PtmonError('corrupt-input', `${qmp.address}: QEMU does not say whether the guest runs`);
}
