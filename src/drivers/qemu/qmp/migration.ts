/** Whether a guest is on its way to another host, or into a file: QEMU, qapi/migration.json, MigrationStatus. */
import type { QmpClient } from './client.ts';
import { qmpRefusalOf } from './pending-commands.ts';

/** Words for a migration that is not under way any more, or has not begun. */
const OVER: ReadonlySet<unknown> = new Set([undefined, 'none', 'cancelled', 'completed', 'failed']);

/** @throws PtmonError as `QmpClient.execute` */
export async function isMigrating(qmp: QmpClient): Promise<boolean> {
  const said = await qmp.execute('query-migrate').catch((error: unknown) => {
    // What cannot migrate does not.
    if (qmpRefusalOf(error) === undefined) throw error;
    return {};
  });
  const { status } = (said ?? {}) as { readonly status?: unknown };
  return !OVER.has(status);
}
