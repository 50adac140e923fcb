/** `ptmon map`. */
import { Command, Option } from 'commander';
import type { RangeFilter } from '../../../snapshot/index.ts';
import { GapTotals, listRanges, RangeTotals } from '../../../snapshot/index.ts';
import { EXIT_INCOMPLETE, EXIT_OK } from '../../exit-codes.ts';
import { interruptible } from '../../interruptible.ts';
import { CSV, JSON_LINES, TEXT } from './range-text.ts';
import { byteCount, listOf } from '../../option-values.ts';
import { addressRange, type OptionRange } from '../../snapshot/address-range.ts';
import { emptyLine, gapLines } from '../../snapshot/gap-text.ts';
import { onlySource } from '../../snapshot/open-snapshot.ts';
import {
  addSourceOptions,
  addSpaceOptions,
  SOURCE_HELP,
  type SourceAndSpaceOptions,
} from '../../snapshot/source-options.ts';
import { visitSnapshot, type VisitStreams } from '../../snapshot/visit-snapshot.ts';

const PAGE_SIZES = { '4K': 2 ** 12, '2M': 2 ** 21, '4M': 2 ** 22, '1G': 2 ** 30 } as const;
type PageSizeName = keyof typeof PAGE_SIZES;

const HELP = `
${SOURCE_HELP}

Addresses that follow each other with the same rights are one range, whatever
pages map them. Rights: r, w writable, x executable, u user; a dash for what is
not allowed, and the protection key unless it is 0.

Where page tables are not in memory, standard error counts and names them, and
the exit code is 5; so it is where nothing at all is mapped.

Examples:
  ptmon map vm.core
  ptmon map vm.core --wx                     what can be written and executed
  ptmon map vm.core --user --min-size 1M --csv >user.csv
  ptmon map vm.core --find-pa 0x1234000      where a frame is mapped
  ptmon map --qmp /tmp/qmp --gdb /tmp/gdb --va 0x400000-0x800000 --runs
`;

interface Options extends SourceAndSpaceOptions {
  readonly va?: OptionRange;
  readonly wx?: boolean;
  readonly user?: boolean;
  readonly supervisor?: boolean;
  readonly writable?: boolean;
  readonly readOnly?: boolean;
  readonly executable?: boolean;
  readonly data?: boolean;
  readonly minSize?: number;
  readonly maxSize?: number;
  readonly pageSize?: readonly PageSizeName[];
  readonly findPa?: OptionRange;
  readonly runs?: boolean;
  readonly json?: boolean;
  readonly csv?: boolean;
}

/** @param exit is told the exit code of a run that did not fail */
export function mapCommand(streams: VisitStreams, exit: (code: number) => void): Command {
  const command = new Command('map')
    .description('list what an address space of a dump or of a live guest maps')
    .usage('[options] SOURCE\n       ptmon map [options] --qmp SOCKET --gdb SOCKET')
    .argument('[source]', 'the path of a dump, unless a live guest is read')
    .option('--va <range>', 'only these addresses: 0x…-0x…, or 0x…+LENGTH', addressRange)
    .option('--wx', 'only what is writable and executable')
    .addOption(new Option('--user', 'only what user mode may touch').conflicts('supervisor'))
    .option('--supervisor', 'only what user mode may not touch')
    .addOption(new Option('--writable', 'only what is writable').conflicts('readOnly'))
    .addOption(new Option('--read-only', 'only what is not writable').conflicts('wx'))
    .addOption(new Option('--executable', 'only what is executable').conflicts('data'))
    .addOption(new Option('--data', 'only what is not executable').conflicts('wx'))
    .option('--min-size <bytes>', 'only ranges of so many bytes and more', byteCount)
    .option('--max-size <bytes>', 'only ranges of so many bytes and less', byteCount)
    .option(
      '--page-size <sizes>',
      'only pages of these sizes: 4K,2M,4M,1G',
      listOf(Object.keys(PAGE_SIZES) as PageSizeName[]),
    )
    .option('--find-pa <address>', 'only what leads to this physical memory: 0x…, or 0x…+LENGTH', addressRange)
    .option('--runs', 'a range for each run of physical memory')
    .addOption(new Option('--json', 'print JSON lines, not text').conflicts('csv'))
    .option('--csv', 'print CSV, without totals');
  return addSpaceOptions(addSourceOptions(command))
    .addHelpText('after', HELP)
    .action(async (word: string | undefined, options: Options) => {
      const source = onlySource(word, options);
      const { va, runs = false, json = false, csv = false } = options;
      const writer = json ? JSON_LINES : csv ? CSV : TEXT;
      await interruptible(streams.output, exit, async (signal) => {
        const [totals, gaps] = [new RangeTotals(), new GapTotals()];
        let said = '';
        let [isEmpty, isIncomplete] = [false, false];
        await visitSnapshot(source, options, streams, signal, async (visit) => {
          const { snapshot, space, work } = visit;
          await visit.print(writer.heading(space));
          const by = runs ? 'runs' : 'rights';
          const filter = filterOf(options);
          for await (const range of listRanges(snapshot, space, { ...work, ...va, by, gaps, filter })) {
            totals.add(range);
            await visit.print(writer.range(range, space));
          }
          await visit.print(writer.totals(totals, gaps));
          said = gapLines(gaps, space);
          isIncomplete = gaps.missingTables > 0 && snapshot.isExcerpt !== true;
          if (totals.sums.ranges === 0) {
            isEmpty = Object.keys(filter).length === 0 && va === undefined;
            said += isEmpty ? emptyLine(gaps, space) : 'ptmon: nothing that is mapped is like that\n';
          }
        });
        await streams.messages.write(said);
        return isIncomplete || isEmpty ? EXIT_INCOMPLETE : EXIT_OK;
      });
    });
}

function filterOf(options: Options): RangeFilter {
  const { wx, user, supervisor, writable, readOnly, executable, data, minSize, maxSize, pageSize, findPa } = options;
  /** True where it is wanted, false where its opposite is; absent where neither. */
  const either = (name: 'writable' | 'user' | 'executable', yes?: boolean, no?: boolean) =>
    yes === true ? { [name]: true } : no === true ? { [name]: false } : {};
  return {
    ...either('writable', wx === true || writable, readOnly),
    ...either('executable', wx === true || executable, data),
    ...either('user', user, supervisor),
    ...(minSize !== undefined && { minByteLength: minSize }),
    ...(maxSize !== undefined && { maxByteLength: maxSize }),
    ...(pageSize !== undefined && { pageSizes: pageSize.map((name) => PAGE_SIZES[name]) }),
    ...(findPa !== undefined && {
      physical: { pa: Number(findPa.from), byteLength: Number(findPa.to - findPa.from) },
    }),
  };
}
