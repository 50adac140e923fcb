/** `ptmon diff`. */
import { Command, Option } from 'commander';
import { PtmonError } from '../../../core/error.ts';
import { compareSpaces, type Difference, GapTotals } from '../../../snapshot/index.ts';
import { DifferenceTotals, differenceJson, differenceLine } from './difference-text.ts';
import { EXIT_FAILED, EXIT_INCOMPLETE, EXIT_OK } from '../../exit-codes.ts';
import { interruptible } from '../../interruptible.ts';
import { listOf } from '../../option-values.ts';
import { addressRange, type OptionRange } from '../../snapshot/address-range.ts';
import { emptyLine, gapLines } from '../../snapshot/gap-text.ts';
import { isLive } from '../../snapshot/open-snapshot.ts';
import { addSourceOptions, addSpaceOptions, type SourceAndSpaceOptions } from '../../snapshot/source-options.ts';
import { type Visit, visitSnapshot, type VisitStreams } from '../../snapshot/visit-snapshot.ts';
import { rootOption } from '../watch/address-option.ts';

const KINDS = ['page-in', 'page-out', 'protection', 'restructure'] as const satisfies readonly Difference['kind'][];

const HELP = `
A and B are the paths of dumps, recognised by their content. With --qmp and
--gdb a live guest takes the place of B, and stands still meanwhile.

Signs, as ptmon watch has them: + paged in, - paged out (both for the same pages
where they moved), ~ other rights, = other page size. What leaves the backing
alone (accessed and dirty bits, …) is no difference.

Exit code 0 where there is no difference, 1 where there is one; 5 where there is
none in what could be looked at, and page tables are not in memory or nothing at
all is mapped.

Examples:
  ptmon diff before.core after.core
  ptmon diff before.core after.core --va 0x7f0000000000+1G --pages
  ptmon diff before.core --qmp /tmp/qmp --gdb /tmp/gdb --root 0x1234000 --json
`;

interface Options extends SourceAndSpaceOptions {
  readonly rootB?: 'current' | bigint;
  readonly va?: OptionRange;
  readonly kinds?: readonly Difference['kind'][];
  readonly pages?: boolean;
  readonly runs?: boolean;
  readonly json?: boolean;
}

/** @param exit is told the exit code of a run that did not fail */
export function diffCommand(streams: VisitStreams, exit: (code: number) => void): Command {
  const command = new Command('diff')
    .description('say what one address space has that another, or the same one later, has not')
    .usage('[options] A B\n       ptmon diff [options] A --qmp SOCKET --gdb SOCKET')
    .argument('[dumps...]', 'the paths of two dumps, or of one and a live guest')
    .option('--root-b <cr3>', 'the address space of B, where it is another than that of A', rootOption)
    .option('--va <range>', 'only these addresses: 0x…-0x…, or 0x…+LENGTH', addressRange)
    .option('--kinds <kinds>', `only these kinds: ${KINDS.join(',')}`, listOf(KINDS))
    .addOption(new Option('--pages', 'page by page, with the frames').conflicts('runs'))
    .option('--runs', 'a line for each run of physical memory')
    .option('--json', 'print JSON lines, not text');
  return addSpaceOptions(addSourceOptions(command))
    .addHelpText('after', HELP)
    .action(async (dumps: readonly string[], options: Options) => {
      const wanted = isLive(options) ? 1 : 2;
      if (dumps.length !== wanted) {
        const what = isLive(options) ? 'one dump is compared with a live guest' : 'two dumps are compared';
        throw new PtmonError('bad-argument', `${what}, not ${dumps.length}`);
      }
      const [a, b] = dumps as readonly [string, string | undefined];
      const optionsA: SourceAndSpaceOptions = withoutLive(options);
      const optionsB = { ...(b === undefined ? withoutFile(options) : optionsA), root: options.rootB ?? options.root };
      await interruptible(streams.output, exit, async (signal) => {
        const totals = new DifferenceTotals();
        const [gapsBefore, gapsAfter] = [new GapTotals(), new GapTotals()];
        let [said, isIncomplete] = ['', false];
        try {
          await visitSnapshot(a, optionsA, streams, signal, (before) =>
            visitSnapshot(b, optionsB, streams, signal, async (after) => {
              await compare(before, after, { options, totals, gapsBefore, gapsAfter, streams });
              const sides = [
                ['A', before, gapsBefore],
                ['B', after, gapsAfter],
              ] as const;
              for (const [name, { space, snapshot }, gaps] of sides) {
                said += gapLines(gaps, space, name);
                if (gaps.missingTables > 0 && snapshot.isExcerpt !== true) isIncomplete = true;
                if (gaps.mappedPages > 0 || options.va !== undefined) continue;
                isIncomplete = true;
                said += emptyLine(gaps, space, name);
              }
            }),
          );
        } catch (error) {
          // A reader that has gone has seen a difference, and the shell is to hear of it.
          if (error !== signal.reason || totals.isEmpty) throw error;
        }
        await streams.messages.write(said);
        if (!totals.isEmpty) return EXIT_FAILED;
        return isIncomplete ? EXIT_INCOMPLETE : EXIT_OK;
      });
    });
}

interface Comparison {
  readonly options: Options;
  readonly totals: DifferenceTotals;
  readonly gapsBefore: GapTotals;
  readonly gapsAfter: GapTotals;
  readonly streams: VisitStreams;
}

async function compare(
  before: Visit,
  after: Visit,
  { options, totals, gapsBefore, gapsAfter, streams: { messages } }: Comparison,
): Promise<void> {
  const { va, kinds = KINDS, pages, runs, json, rootB } = options;
  if (before.space.root !== after.space.root && rootB === undefined) {
    await messages.write(
      `ptmon: the roots differ: ${before.space.from}; ${after.space.from}. --root tells which are meant\n`,
    );
  }
  const by = pages === true ? 'pages' : runs === true ? 'runs' : 'changes';
  for await (const difference of compareSpaces(before, after, {
    ...after.work,
    ...va,
    by,
    gapsBefore,
    gaps: gapsAfter,
  })) {
    if (!kinds.includes(difference.kind)) continue;
    totals.add(difference);
    await after.print(json === true ? differenceJson(difference, after.space.root) : differenceLine(difference));
  }
  await after.print(json === true ? totals.json : totals.text);
}

/** Of the live guest that a dump is compared with. */
function withoutFile({ ramMap: _ramMap, ...options }: Options): SourceAndSpaceOptions {
  return options;
}

/** Of the dump that is compared with a live guest. */
function withoutLive({ qmp: _qmp, gdb: _gdb, ramFile: _ramFile, ...options }: Options): SourceAndSpaceOptions {
  return options;
}
