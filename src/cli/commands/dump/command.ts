/** `ptmon dump`. */
import type { Command } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import type { MapChoice } from '../../../linux/index.ts';
import type { CommandContext } from '../../context.ts';
import { addProcessOwnerOptions, type OwnerOptions } from '../../options/guest-memory.ts';
import { mapOption } from '../../options/map-choice.ts';
import { addConsistentOption, onlySource, sourceUsage } from '../../options/source.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
Writes a file for each memory area of a process, named after its addresses, and
index.jsonl, which lists the areas, and the absent pages of each. Absent pages
are holes in the files. An existing file is never overwritten. The exit code is
5 where page tables or memory are missing from a dump.

Examples:
  ptmon dump --pid 412 -o dumped
  ptmon dump vm.core --comm nginx --map heap -o dumped
`;

interface Options extends OwnerOptions {
  readonly map?: MapChoice;
  readonly output: string;
}

export function defineDump(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command.usage(sourceUsage('dump')).argument('[source]', 'path of a dump, unless the guest is live');
  addConsistentOption(addProcessOwnerOptions(command))
    .option('--map <map>', 'only this area: heap, stack, anon, a FILE, or the area at 0x…', mapOption)
    .requiredOption('-o, --output <folder>', 'folder for the files; made if it does not exist')
    .action(async (word: string | undefined, options: Options) => {
      const source = onlySource(word, options);
      if (options.pid === undefined && options.comm === undefined) {
        throw new PtmonError('bad-argument', 'no process: give --pid or --comm; ptmon read --raw writes any range');
      }
      const { runDump } = await import('./run-dump.ts');
      await runDump(source, options, context);
    });
}
