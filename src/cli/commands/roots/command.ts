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

roots reads all memory, and says how far a table can be trusted to be a root:
  sure      the upper half maps the table itself, writable, as the page tables
            of a kernel do, and another root with this upper half, or the code
            of a kernel, confirms it
  likely    the same without a confirmation, or the table maps memory at its own
            addresses, as firmware does
  possible  the table has the form of a root
The column "maps" says what it maps: only a kernel, a process and the kernel, or
memory at its own addresses ("identity").

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
  ).action(async (word: string | undefined, options: RootsOptions) => {
    const source = onlySource(word, options);
    const { runRoots } = await import('./run-roots.ts');
    await runRoots(source, options, context);
  });
}
