/** `--pid` and `--comm`: watches the processes of a Linux guest instead of addresses. */
import { PtmonError } from '../../../core/error.ts';
import { makePaging, rootOf } from '../../../core/paging/format.ts';
import { EntryWords, kernelCache, type MapChoice, openLinux, ProcessWatch } from '../../../linux/index.ts';
import type { SystemLayer } from '../../../session/system-layer.ts';
import { noLinux } from '../../linux/run-linux.ts';
import type { WatchOptions } from './run-watch.ts';
import type { WatchSource } from './source.ts';

export interface ProcessOptions {
  readonly pid?: number;
  readonly comm?: string;
  readonly map?: MapChoice;
}

/** What is to be watched is told in one way. @throws PtmonError `bad-argument` */
export function checkTargets({ va, pid, comm, map, verify }: WatchOptions): void {
  const ways = [va, pid, comm].filter((way) => way !== undefined);
  if (ways.length === 0) throw new PtmonError('bad-argument', 'what is to be watched? Give --pid, --comm or --va');
  if (ways.length > 1) throw new PtmonError('bad-argument', 'give one of --pid, --comm and --va');
  if (va !== undefined && map !== undefined) throw new PtmonError('bad-argument', '--map takes --pid or --comm');
  if (va === undefined && verify === true) {
    throw new PtmonError('bad-argument', '--verify takes addresses (--va): those of a process come and go');
  }
}

/** What of the guest's Linux takes part in a watch. */
export interface LinuxPart {
  /** Undefined where nothing of Linux is known. */
  readonly system: SystemLayer | undefined;
  /** The same where processes are watched. */
  readonly processes: ProcessWatch | undefined;
}

/**
 * Finds the guest's Linux: where addresses are watched only if there is one, to say what their entries mean.
 *
 * @param onEnd called when nothing is left to be watched
 * @throws PtmonError where processes are watched, as `openLinux`
 */
export async function openLinuxPart(
  { driver, mode }: WatchSource,
  { pid, comm, map, root, paging }: WatchOptions,
  say: (line: string) => unknown,
  onEnd: () => void,
  signal: AbortSignal,
): Promise<LinuxPart> {
  // A file of memory says nothing of itself: the address space to begin in is told.
  const told = paging === undefined || root === 'current' ? undefined : makePaging({ mode: paging });
  const space = told && root !== 'current' ? { space: { paging: told, root: rootOf(told, root) } } : {};
  const open = () => openLinux(driver, { cache: kernelCache(), signal, ...space });
  if (pid === undefined && comm === undefined) {
    const linux = await open().catch(noLinux);
    return { system: linux && new EntryWords(linux.entryFormat), processes: undefined };
  }
  const processes = new ProcessWatch({
    linux: await open(),
    selection: {
      by: pid === undefined ? { command: comm ?? '' } : { pid },
      ...(map !== undefined && { map }),
    },
    isExact: mode === 'exact',
    vcpuCount: driver.registers?.vcpuCount ?? 1,
    onNotice: (text) => void say(text),
    onEnd,
  });
  return { system: processes, processes };
}
