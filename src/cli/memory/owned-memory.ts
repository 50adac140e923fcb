/** Opens the memory that the options name, of a guest that stays paused for the work. */
import { rootOf } from '../../core/paging/format.ts';
import { attach, type AttachOptions, type Guest, type Moment, type VirtualMemory } from '../../guest/index.ts';
import { areasOfMap, type LinuxGuest, type MapChoice, type MemoryArea, type Process } from '../../linux/index.ts';
import { attachment, checkOwner, type OwnerOptions } from '../options/guest-memory.ts';
import type { SourceName } from '../options/source.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import { printStatus } from '../output/status-lines.ts';
import { warningLines } from '../snapshot/visit-snapshot.ts';
import { chooseProcess } from '../snapshot/choose-process.ts';
import { takeConsistentImage } from '../snapshot/consistent-image.ts';

export interface OwnedMemory {
  readonly memory: VirtualMemory;
  readonly moment: Moment;
  /** The process, where one is named. */
  readonly process: Process | undefined;
  readonly linux: LinuxGuest | undefined;
}

interface MemoryWork {
  /** Hears, once the guest runs on, of what is odd about the source. */
  readonly messages: TextOutput;
  readonly signal: AbortSignal;
}

/**
 * @param work done with the guest paused
 * @throws PtmonError as `attach`; `bad-argument` where there is no such process; what `work` throws
 */
export async function withMemory<T>(
  source: SourceName,
  options: OwnerOptions,
  { messages, signal }: MemoryWork,
  work: (owned: OwnedMemory) => Promise<T>,
): Promise<T> {
  checkOwner(options);
  let notes = '';
  const image = await takeConsistentImage(source, options, signal);
  try {
    const file = image?.path ?? source;
    const guest: Guest = await attach(attachment(file, options), { signal, ...spaceOf(file, options) });
    try {
      return await guest.paused(async (moment) => {
        notes = notesOf(moment, options);
        return work(await ownedMemory(moment, options));
      });
    } finally {
      await guest.close();
      await printStatus(messages, notes);
    }
  } finally {
    image?.remove();
  }
}

/** The root of a live guest is only read from: its registers say how it is translated. */
function spaceOf(file: SourceName, { root, paging }: OwnerOptions): AttachOptions {
  return {
    ...(file !== undefined && typeof root === 'bigint' && { root }),
    ...(paging !== undefined && { paging }),
  };
}

/** What is missing or odd; and where the address space comes from, if a search found it. */
function notesOf({ guess, warnings }: Moment, { root }: OwnerOptions): string {
  const isGuess = guess !== undefined && (root === undefined || root === 'current');
  return `${warningLines({ warnings })}${isGuess ? `${guess.from}\n` : ''}`;
}

async function ownedMemory(moment: Moment, options: OwnerOptions): Promise<OwnedMemory> {
  const { pid, comm, root, physical } = options;
  if (physical === true) return { memory: moment.physicalMemory(), moment, process: undefined, linux: undefined };
  if (pid === undefined && comm === undefined) {
    const current = () => moment.guess?.root ?? moment.currentRoot();
    const table = root === undefined || root === 'current' ? current() : rootOf(moment.paging, root);
    return { memory: moment.memoryOf(table), moment, process: undefined, linux: undefined };
  }
  const linux = await moment.linux();
  const process = chooseProcess(await linux.processes(), options);
  const name = `${process.command}[${process.pid}]`;
  return { memory: moment.memoryOf(process.roots[0]!, name), moment, process, linux };
}

/**
 * The areas of the process that is named, those that `--map` names of them.
 *
 * @returns as well why there may be more, human-readable: then nothing can be said of all its memory
 * @throws PtmonError `bad-argument` where no area fits
 */
export async function areasOfOwner(
  { process, linux }: OwnedMemory,
  map: MapChoice | undefined,
): Promise<{ readonly areas: readonly MemoryArea[]; readonly lacking: string | undefined }> {
  const { areas, faults, isWhole } = await linux!.areasOf(process!.mm!);
  const lacking = isWhole ? undefined : `inconsistent: ${faults.join('; ')}`;
  return { areas: areasOfMap(`${process!.command}[${process!.pid}]`, areas, map), lacking };
}
