/** A guest for people who have none at hand: made where it is missing, booted, and asked for its address space. */
import { PtmonError } from '../../../core/error.ts';
import {
  chooseKernel,
  findPrograms,
  findQemu,
  findWorkloadRoot,
  type LaunchedGuest,
  launchGuest,
  type LaunchOptions,
  prepareGuest,
  QmpClient,
} from '../../../drivers/qemu/index.ts';

export interface BootedGuest {
  readonly guest: LaunchedGuest;
  /** The workload's CR3. */
  readonly root: bigint;
}

/**
 * Boots the guest and waits until its workload takes commands. What is missing of it and can be made is made first.
 *
 * @param say is told what takes its time
 * @throws PtmonError `source-unavailable` where QEMU, a kernel or a compiler is missing (with the package to install), or the guest
 *   does not boot; the reason of `signal` when it is aborted
 */
export async function bootGuest(
  options: LaunchOptions,
  say: (line: string) => unknown,
  signal: AbortSignal,
): Promise<BootedGuest> {
  findQemu(options.qemu);
  if (isMissing(() => findPrograms()) || (options.kernel === undefined && isMissing(() => chooseKernel()))) {
    await say('Making the guest: a kernel from Debian, and a small program to run on it (once, about a minute).');
    await prepareGuest({ onLine: (line) => void say(`  ${line}`), signal });
  }
  signal.throwIfAborted();
  const guest = await launchGuest(options);
  const stop = () => void guest.stop();
  signal.addEventListener('abort', stop, { once: true });
  try {
    signal.throwIfAborted();
    await say(`Booting Linux ${guest.kernel.release} in QEMU …`);
    const hello = await guest.waitForReady();
    const qmp = await QmpClient.connect(guest.qmpPath);
    try {
      const root = await findWorkloadRoot(qmp, guest.workload);
      await say(`It runs: process ${hello.pid} in ${hello.la57 ? 5 : 4}-level paging, ${hello.cpus} vCPU(s).`);
      return { guest, root };
    } finally {
      await qmp.close();
    }
  } catch (error) {
    await guest.stop();
    signal.throwIfAborted();
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function isMissing(find: () => unknown): boolean {
  try {
    find();
    return false;
  } catch (error) {
    if (error instanceof PtmonError && error.code === 'source-unavailable') return true;
    throw error;
  }
}
