/** Whether a gdbstub is free: who waits behind another debugger stops the guest later. */
import { PtmonError } from '../../../core/error.ts';
import { qmpRefusalOf } from '../qmp/pending-commands.ts';
import type { QmpClient, QmpCommandOptions } from '../qmp/client.ts';

/** QEMU's name for the socket of its gdbstub: gdbstub, gdbserver_start(). */
const STUB_LABEL = 'gdb';

/**
 * Asks QEMU whether another client is connected to its gdbstub. Ignores an answer that it does not understand.
 *
 * @throws PtmonError `source-unavailable` where another client is
 */
export async function expectFreeStub(qmp: QmpClient, address: string, options: QmpCommandOptions = {}): Promise<void> {
  const devices = await qmp.execute('query-chardev', undefined, options).catch((error: unknown) => {
    if (qmpRefusalOf(error) === undefined) throw error;
    return [];
  });
  if (!Array.isArray(devices)) return;
  const stub = devices.find((device) => device?.label === STUB_LABEL) as { readonly filename?: unknown } | undefined;
  // A socket that waits for a client is `disconnected:unix:/path,server=on`.
  if (typeof stub?.filename !== 'string' || !/^(unix|tcp):/.test(stub.filename)) return;
  throw new PtmonError(
    'source-unavailable',
    `another debugger is connected to the gdbstub at ${address}, which serves one at a time: close that one`,
  );
}
