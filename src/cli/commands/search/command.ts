/** `ptmon search`. */
import type { Command } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addressRange, type OptionRange } from '../../options/address-range.ts';
import { addJsonOption } from '../../options/events.ts';
import { addOwnerOptions, type OwnerOptions, sourceAndOne } from '../../options/guest-memory.ts';
import { sourceUsage } from '../../options/source.ts';
import { wholeNumber } from '../../options/values.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
PATTERN is a text, or with --hex bytes. With --pid or --comm, ptmon searches the
memory areas of the process, else everything that the address space maps; with
--va, only that range. Standard error counts the pages that are absent.

Examples:
  ptmon search password --comm nginx
  ptmon search vm.core --hex 7f454c46 --pid 412
  ptmon search --root 0x1a3f000 --va 0x7f0012340000+1M secret
`;

interface Options extends OwnerOptions {
  readonly hex?: boolean;
  readonly va?: OptionRange;
  readonly count?: number;
  readonly json?: boolean;
}

export function defineSearch(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .usage(sourceUsage('search', ' PATTERN'))
    .argument('[SOURCE PATTERN...]', 'a dump or trace, unless the guest is live; and what to find');
  addOwnerOptions(addJsonOption(command))
    .option('--hex', 'PATTERN is bytes, as hexadecimal digits')
    .option('--va <range>', 'search only 0x…+LENGTH or 0x…-0x…', addressRange)
    .option('--count <n>', 'stop after this many matches', wholeNumber(1, 1e9))
    .action(async (words: readonly string[], options: Options) => {
      const { source, word } = sourceAndOne(words, options, 'PATTERN, a text or with --hex bytes');
      const { runSearch } = await import('./run-search.ts');
      await runSearch(source, { ...options, pattern: word }, context);
    });
}
