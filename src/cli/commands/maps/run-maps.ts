/** Lists the memory areas of a process of a guest's Linux. */
import type { Process } from '../../../linux/index.ts';
import { printable } from '../../../sinks/printable.ts';
import type { CommandContext } from '../../context.ts';
import type { SourceAndSpaceOptions, SourceName } from '../../options/source.ts';
import { askLinux } from '../../snapshot/ask-linux.ts';
import { areaJson, areaTable } from './maps-output.ts';

/** @throws PtmonError as `askLinux` */
export function runMaps(
  source: SourceName,
  pid: number,
  options: SourceAndSpaceOptions & { readonly json?: boolean },
  context: CommandContext,
): Promise<void> {
  return askLinux(source, options, context, async (linux) => {
    const { process, areas, faults } = await linux.map(pid);
    if (options.json) return { text: areas.map((area) => areaJson(pid, area)).join(''), faults };
    const lines = process.mm === null ? [whyNoMemory(process)] : areaTable(areas);
    return { text: `${lines.join('\n')}\n`, faults };
  });
}

function whyNoMemory({ pid, command, isKernelThread }: Process): string {
  const why = isKernelThread
    ? 'is a kernel thread: it has no address space of its own'
    : 'has exited: its memory is gone';
  return `process ${pid} (${printable(command)}) ${why}`;
}
