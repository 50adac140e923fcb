/** A guest to try ptmon on: built if it is missing, booted, and searched for the address space of its workload. */
import { PtmonError } from '../../../core/error.ts';
import { pagingOf } from '../../../driver/paging.ts';
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
  readPrintedRegisters,
} from '../../../drivers/qemu/index.ts';

export interface BootedGuest {
  readonly guest: LaunchedGuest;
  /** The workload's CR3. */
  readonly root: bigint;
}

/**
 * Builds the parts of the guest that are missing, boots it, and waits until its workload takes commands.
 *
 * @param say prints what takes long
 * @throws PtmonError `source-unavailable` where QEMU, a kernel or a compiler is missing (with the package to install), or the guest
 *   does not boot; the reason of `signal` when it is aborted
 */
export async function bootGuest(
  options: LaunchOptions,
  say: (line: string) => unknown,
  signal: AbortSignal,
): Promise<BootedGuest> {
  // What was named on the command line first.
  if (options.kernel !== undefined) chooseKernel(options.kernel);
  findQemu(options.qemu);
  if (isMissing(() => findPrograms()) || (options.kernel === undefined && isMissing(() => chooseKernel()))) {
    await say(
      'Building the guest, once: a Debian kernel, and a small program to run on it. This takes about a minute.',
    );
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
      const registers = await readPrintedRegisters(qmp, 0);
      const mode = pagingOf({ vcpuCount: 1, readRegisters: () => registers }, 0)?.mode.name ?? 'no';
      await say(`Booted: process ${hello.pid}, ${mode} paging, ${hello.cpus} ${hello.cpus === 1 ? 'vCPU' : 'vCPUs'}.`);
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
