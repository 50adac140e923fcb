/** `ptmon roots`. */
import type { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addJsonOption } from '../../options/events.ts';
import {
  addEncryptionOption,
  addPagingOption,
  addProcessOptions,
  addSourceOptions,
  onlySource,
  SOURCE_HELP,
  sourceUsage,
} from '../../options/source.ts';
import type { RootsOptions } from './run-roots.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
${SOURCE_HELP}

roots reads all memory, and says how sure it is that a table is a root:
  sure      its upper half maps the table itself as writable, as a kernel does
            with its tables, and also maps kernel code or is the same as the
            upper half of another root
  likely    its upper half maps the table itself as writable, and that is all;
            or the table maps each virtual address to the same physical address,
            as firmware does
  possible  the table has the form of a root
The column "maps" says what the table maps: the kernel alone; a process and the
kernel; or each address to itself ("identity").

Examples:
  ptmon roots memory.raw
  ptmon map memory.raw --root 0x1234000 --paging 4-level
`;

export function defineRoots(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command.usage(sourceUsage('roots')).argument('[source]', 'path of a dump or trace, unless the guest is live');
  addProcessOptions(
    addEncryptionOption(
      addSourceOptions(addPagingOption(addJsonOption(command), 'search for roots of this paging mode only')),
    ),
    {
      pid: 'print the root of the process with this PID, without a search (Linux guests)',
      comm: 'print the root of the only process with this name, without a search (Linux guests)',
    },
  ).action(async (word: string | undefined, options: RootsOptions) => {
    const source = onlySource(word, options);
    const { runRoots } = await import('./run-roots.ts');
    await runRoots(source, options, context);
  });
}
