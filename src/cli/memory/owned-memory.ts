/** Opens the memory that the options name, of a guest that stays paused for the work. */
import { rootOf } from '../../core/paging/format.ts';
import { attach, type Guest, type Moment, type VirtualMemory } from '../../guest/index.ts';
import type { LinuxGuest, Process } from '../../linux/index.ts';
import { attachment, checkOwner, type OwnerOptions } from '../options/guest-memory.ts';
import type { SourceName } from '../options/source.ts';
import { chooseProcess } from '../snapshot/choose-process.ts';
import { takeConsistentImage } from '../snapshot/consistent-image.ts';

export interface OwnedMemory {
  readonly memory: VirtualMemory;
  readonly moment: Moment;
  /** The process, where one is named. */
  readonly process: Process | undefined;
  readonly linux: LinuxGuest | undefined;
}

/**
 * @param work done with the guest paused
 * @throws PtmonError as `attach`; `bad-argument` where there is no such process; what `work` throws
 */
export async function withMemory<T>(
  source: SourceName,
  options: OwnerOptions,
  signal: AbortSignal,
  work: (owned: OwnedMemory) => Promise<T>,
): Promise<T> {
  checkOwner(options);
  const image = await takeConsistentImage(source, options, signal);
  try {
    const guest: Guest = await attach(attachment(image?.path ?? source, options), { signal });
    try {
      return await guest.paused(async (moment) => work(await ownedMemory(moment, options)));
    } finally {
      await guest.close();
    }
  } finally {
    image?.remove();
  }
}

async function ownedMemory(moment: Moment, options: OwnerOptions): Promise<OwnedMemory> {
  const { pid, comm, root } = options;
  if (pid === undefined && comm === undefined) {
    const table = root === undefined || root === 'current' ? moment.currentRoot() : rootOf(moment.paging, root);
    return { memory: moment.memoryOf(table), moment, process: undefined, linux: undefined };
  }
  const linux = await moment.linux();
  const { processes } = await linux.processes();
  const process = chooseProcess(processes, options);
  const name = `${process.command}[${process.pid}]`;
  return { memory: moment.memoryOf(process.roots[0]!, name), moment, process, linux };
}
