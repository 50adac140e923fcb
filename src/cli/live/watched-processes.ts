/** `--pid` and `--comm`: watches the processes of a Linux guest instead of addresses. */
import { EntryWords, openLinux, type ProcessSelection, ProcessWatch } from '../../linux/index.ts';
import type { SystemLayer } from '../../session/system-layer.ts';
import { noLinux } from '../snapshot/linux-view.ts';
import { linuxOptions } from './named-addresses.ts';
import type { WatchSource } from './source.ts';
import { waitingLines } from './waiting-text.ts';
import type { WatchOptions } from './watch-options.ts';

/** The part that the guest's Linux plays in a watch. */
export interface LinuxPart {
  /** Undefined without a known Linux. */
  readonly system: SystemLayer | undefined;
  /** The same object, where processes are watched. */
  readonly processes: ProcessWatch | undefined;
  /** Lines about targets that do not exist yet. The guest must be stopped. */
  readonly waitingFor: () => Promise<string[]>;
}

export interface LinuxPartCallbacks {
  readonly say: (line: string) => unknown;
  /** Called when no watched process is left. */
  readonly onEnd: () => void;
  readonly signal: AbortSignal;
}

/**
 * Finds the guest's Linux. Watched processes need it; with watched addresses it explains what their entries mean, if there is one.
 *
 * @throws PtmonError as `openLinux`, where processes are watched
 */
export async function openLinuxPart(
  { driver, mode }: WatchSource,
  options: WatchOptions,
  { say, onEnd, signal }: LinuxPartCallbacks,
): Promise<LinuxPart> {
  const { pid, comm, map, va } = options;
  const found = await linuxOptions(options, signal, (warning) => void say(`warning: ${warning}`));
  const open = () => openLinux(driver, found);
  if (pid === undefined && comm === undefined) {
    // Types that are given are for this kernel, or wrong.
    const linux = await (options.btf === undefined ? open().catch(noLinux) : open());
    // Names of the kernel's addresses take a look through its image: only where some are watched.
    const isKernels = (at: bigint) => linux !== undefined && at >= linux.kernel.memory.kernelStart;
    const names = (va ?? []).some((address) => isKernels(address.va)) ? await linux?.names() : undefined;
    const system = linux && new EntryWords(linux.entryFormat, names?.symbols);
    return { system, processes: undefined, waitingFor: async () => [] };
  }
  const linux = await open();
  const selection = {
    by: selectionOf(pid, comm),
    ...(map !== undefined && { map }),
  };
  const processes = new ProcessWatch({
    linux,
    selection,
    isExact: mode === 'exact',
    vcpuCount: driver.registers?.vcpuCount ?? 1,
    onNotice: (text) => void say(text),
    onEnd,
  });
  return { system: processes, processes, waitingFor: () => waitingLines(linux, selection) };
}

function selectionOf(pid: number | undefined, comm: string | readonly string[] | undefined): ProcessSelection['by'] {
  if (pid !== undefined) return { pid };
  return typeof comm === 'object' ? { commands: comm } : { command: comm ?? '' };
}
