/** Whether KVM runs the guest: qapi/misc.json, query-kvm. */
import { QmpClient, type QmpOptions } from './client.ts';
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

/** @param address of a QMP socket */
export async function runsOnKvm(address: string, options: QmpOptions = {}): Promise<boolean> {
  const qmp = await QmpClient.connect(address, options);
  try {
    return await isKvm(qmp);
  } finally {
    await qmp.close();
  }
}
