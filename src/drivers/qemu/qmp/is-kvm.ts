/** Whether KVM runs the guest: qapi/misc.json, query-kvm. */
import type { QmpClient } from './client.ts';
import { qmpRefusalOf } from './pending-commands.ts';

/** False where QEMU does not say. @throws PtmonError as the client */
export async function isKvm(qmp: QmpClient): Promise<boolean> {
  try {
    const said = (await qmp.execute('query-kvm')) as { readonly enabled?: unknown } | null;
    return said?.enabled === true;
  } catch (error) {
    if (qmpRefusalOf(error) === undefined) throw error;
    return false;
  }
}
