/** `ptmon search`. */
import type { Command } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import type { MapChoice } from '../../../linux/index.ts';
import type { CommandContext } from '../../context.ts';
import { addressRange, type OptionRange } from '../../options/address-range.ts';
import { addJsonOption } from '../../options/events.ts';
import { mapOption } from '../../options/map-choice.ts';
import { addOwnerOptions, type OwnerOptions, sourceAndOne } from '../../options/guest-memory.ts';
import { sourceUsage } from '../../options/source.ts';
import { wholeNumber } from '../../options/values.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
PATTERN is a text, or bytes with --hex. With --pid or --comm, ptmon searches the
memory areas of the process, with --physical all RAM, else everything that the
address space maps. --va and --map choose a part of that. Standard error counts
absent pages.

Exit codes:
  0  matches
  1  no match
  5  page tables or memory are missing from the source: there may be more
     matches

Examples:
  ptmon search password --comm nginx --map heap
  ptmon search vm.core --hex 7f454c46 --pid 412
  ptmon search --root 0x1a3f000 --va 0x7f0012340000+1M secret
`;

interface Options extends OwnerOptions {
  readonly hex?: boolean;
  readonly va?: OptionRange;
  readonly map?: MapChoice;
  readonly count?: number;
  readonly json?: boolean;
}

export function defineSearch(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .usage(sourceUsage('search', ' PATTERN'))
    .argument('[SOURCE PATTERN...]', 'a dump, unless the guest is live; and what to find');
  addOwnerOptions(addJsonOption(command))
    .option('--physical', 'physical memory: addresses are physical')
    .option('--hex', 'PATTERN is bytes, as hexadecimal digits')
    .option('--va <range>', 'search only 0x…+LENGTH or 0x…-0x…', addressRange)
    .option('--map <map>', 'search only this area: heap, stack, anon, a FILE, or the area at 0x…', mapOption)
    .option('--count <n>', 'stop after this many matches', wholeNumber(1, 1e9))
    .action(async (words: readonly string[], options: Options) => {
      if (options.map !== undefined && options.pid === undefined && options.comm === undefined)
        throw new PtmonError('bad-argument', '--map is an area of a process: give --pid or --comm');
      if (options.map !== undefined && options.va !== undefined)
        throw new PtmonError('bad-argument', '--map and --va exclude each other: give one of them');
      const { source, word } = sourceAndOne(words, options, 'PATTERN, a text, or bytes with --hex');
      const { runSearch } = await import('./run-search.ts');
      await runSearch(source, { ...options, pattern: word }, context);
    });
}
