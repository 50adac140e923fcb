/** Lists the processes of a guest's Linux. */
import { lineColumnsOf } from '../../../sinks/columns.ts';
import type { CommandContext } from '../../context.ts';
import type { SourceAndSpaceOptions, SourceName } from '../../options/source.ts';
import { askLinux } from '../../snapshot/ask-linux.ts';
import { processJson, processTable } from './ps-output.ts';

/** @throws PtmonError as `askLinux` */
export function runPs(
  source: SourceName,
  options: SourceAndSpaceOptions & { readonly json?: boolean },
  context: CommandContext,
): Promise<void> {
  return askLinux(source, options, context, async (linux) => {
    const { processes, faults } = await linux.processes();
    const lines = options.json
      ? processes.map(processJson)
      : [`${processTable(processes, lineColumnsOf(context.output.stream)).join('\n')}\n`];
    return { text: lines.join(''), faults };
  });
}
