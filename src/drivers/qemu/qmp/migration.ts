/** Whether a guest is on its way to another host, or into a file: QEMU, qapi/migration.json, MigrationStatus. */
import { PtmonError } from '../../../core/error.ts';
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
  return isUnderWay(status);
}

/** Whether a status (of `query-migrate`, or of a MIGRATION event) is that of a migration under way. */
export function isUnderWay(status: unknown): boolean {
  return !OVER.has(status);
}

/**
 * Has QEMU report each change of a migration at once (the event MIGRATION), which it does not by itself.
 *
 * @returns what turns that off again, where it was off; undefined where QEMU knows no such events
 */
export async function reportMigrations(qmp: QmpClient): Promise<(() => Promise<void>) | undefined> {
  const set = (state: boolean) =>
    qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: 'events', state }] });
  try {
    const known = (await qmp.execute('query-migrate-capabilities')) as readonly {
      capability?: string;
      state?: boolean;
    }[];
    const wasOn = known.some(({ capability, state }) => capability === 'events' && state === true);
    if (!wasOn) await set(true);
    return async () => {
      if (!wasOn) await set(false).catch(() => {});
    };
  } catch (error) {
    if (!(error instanceof PtmonError)) return undefined;
    if (qmpRefusalOf(error) === undefined) throw error;
    return undefined;
  }
}
