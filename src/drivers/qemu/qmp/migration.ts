/** Whether a guest is on its way to another host, or into a file: QEMU, qapi/migration.json, MigrationStatus. */
import type { QmpClient } from './client.ts';

/** Words for a migration that is not under way any more, or has not begun. */
const OVER: ReadonlySet<unknown> = new Set([undefined, 'none', 'cancelled', 'completed', 'failed']);

/** @throws PtmonError as `QmpClient.execute` */
export async function isMigrating(qmp: QmpClient): Promise<boolean> {
  const { status } = ((await qmp.execute('query-migrate')) ?? {}) as { readonly status?: unknown };
  return !OVER.has(status);
}
