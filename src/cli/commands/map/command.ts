/** `ptmon map`. */
import { type Command, Option } from 'commander';
import type { CommandContext } from '../../context.ts';
import { addressRange } from '../../options/address-range.ts';
import {
  addConsistentOption,
  addProcessOptions,
  addSourceOptions,
  addSpaceOptions,
  addSymbolsOption,
  onlySource,
  sourceUsage,
  SOURCE_HELP,
} from '../../options/source.ts';
import { byteCount, listOf } from '../../options/values.ts';
import type { MapOptions } from './run-map.ts';
import { addHelp } from '../../options/help.ts';

const HELP = `
${SOURCE_HELP}

Adjacent addresses with the same rights form one range, even where pages of
different sizes map them. Rights: r, w writable, x executable, u user; a dash
for each right that is missing; then the protection key, if it is not 0.

Page tables that are missing from a dump are listed on standard error.
The exit code is 5 if page tables are missing, or if nothing at all is mapped.

Examples:
  ptmon map vm.core
  ptmon map vm.core --wx                     writable and executable ranges
  ptmon map vm.core --user --min-size 1M --csv >user.csv
  ptmon map vm.core --find-pa 0x1234000      where a frame is mapped
  ptmon map --qmp /tmp/qmp --gdb /tmp/gdb --va 0x400000-0x800000 --runs
`;

export const PAGE_SIZES = ['4K', '2M', '4M', '1G'] as const;

export function defineMap(command: Command, context: CommandContext): void {
  addHelp(command, HELP);
  command
    .usage(sourceUsage('map'))
    .argument('[source]', 'path of a dump or trace, unless the guest is live')
    .option('--va <range>', 'only these addresses: 0x…-0x…, or 0x…+LENGTH', addressRange)
    .option('--wx', 'only what is writable and executable')
    .addOption(new Option('--user', 'only what user mode may access').conflicts('supervisor'))
    .option('--supervisor', 'only what user mode may not access')
    .addOption(new Option('--writable', 'only what is writable').conflicts('readOnly'))
    .addOption(new Option('--read-only', 'only what is not writable').conflicts('wx'))
    .addOption(new Option('--executable', 'only what is executable').conflicts('data'))
    .addOption(new Option('--data', 'only what is not executable').conflicts('wx'))
    .option('--min-size <bytes>', 'only ranges of at least this size', byteCount)
    .option('--max-size <bytes>', 'only ranges of at most this size', byteCount)
    .option('--page-size <sizes>', `only pages of these sizes: ${PAGE_SIZES.join(',')}`, listOf(PAGE_SIZES))
    .option('--find-pa <address>', 'only what maps this physical memory: 0x…, or 0x…+LENGTH', addressRange)
    .option('--runs', 'one range for each run of contiguous physical memory')
    .addOption(new Option('--json', 'print JSON lines instead of text').conflicts('csv'))
    .option('--csv', 'print CSV, without totals');
  addSymbolsOption(addProcessOptions(addSpaceOptions(addConsistentOption(addSourceOptions(command))))).action(
    async (word: string | undefined, options: MapOptions) => {
      const source = onlySource(word, options);
      const { runMap } = await import('./run-map.ts');
      await runMap(source, options, context);
    },
  );
}
