/** Compares two address spaces. */
import { compareSpaces, type Difference, GapTotals } from '../../../snapshot/index.ts';
import type { CommandContext } from '../../context.ts';
import type { RootOption } from '../../options/address.ts';
import type { OptionRange } from '../../options/address-range.ts';
import type { SourceAndSpaceOptions, SourceName } from '../../options/source.ts';
import { emptyLine, gapLines } from '../../output/gap-text.ts';
import { EXIT_FAILED, EXIT_INCOMPLETE, EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import { type Visit, visitSnapshot } from '../../snapshot/visit-snapshot.ts';
import { DifferenceTotals, differenceJson, differenceLine, HEADING } from './difference-text.ts';
import { printStatus } from '../../output/status-lines.ts';

export interface DiffOptions extends SourceAndSpaceOptions {
  readonly rootB?: RootOption;
  readonly va?: OptionRange;
  readonly kinds: readonly Difference['kind'][];
  readonly pages?: boolean;
  readonly runs?: boolean;
  readonly json?: boolean;
}

/** What a comparison finds. */
interface Findings {
  readonly totals: DifferenceTotals;
  readonly gapsBefore: GapTotals;
  readonly gapsAfter: GapTotals;
}

/**
 * @param b undefined for the live guest that the options name
 * @throws PtmonError as `visitSnapshot` and `compareSpaces`
 */
export async function runDiff(a: string, b: SourceName, options: DiffOptions, context: CommandContext): Promise<void> {
  const optionsA: SourceAndSpaceOptions = withoutLive(options);
  const optionsB = { ...(b === undefined ? withoutFile(options) : optionsA), root: options.rootB ?? options.root };
  await interruptible(context, async (signal) => {
    const totals = new DifferenceTotals();
    const findings = { totals, gapsBefore: new GapTotals(), gapsAfter: new GapTotals() };
    const common = { streams: context, signal };
    let gaps = { notes: '', isIncomplete: false };
    try {
      await visitSnapshot({ ...common, source: a, options: optionsA }, (before) =>
        visitSnapshot({ ...common, source: b, options: optionsB }, async (after) => {
          await warnOfOtherRoot(before, after, options, context);
          await compare(before, after, options, findings);
          gaps = describeGaps(before, after, options, findings);
        }),
      );
    } catch (error) {
      // A reader that closed the output has seen a difference: the exit code must say so.
      if (error !== signal.reason || totals.isEmpty) throw error;
    }
    await printStatus(context.messages, gaps.notes);
    if (!totals.isEmpty) return EXIT_FAILED;
    return gaps.isIncomplete ? EXIT_INCOMPLETE : EXIT_OK;
  });
}

async function warnOfOtherRoot(
  before: Visit,
  after: Visit,
  { rootB, pid, comm }: DiffOptions,
  { messages }: CommandContext,
): Promise<void> {
  if (before.space.root === after.space.root || rootB !== undefined || pid !== undefined || comm !== undefined) return;
  await printStatus(
    messages,
    `ptmon: the roots differ: ${before.space.from}; ${after.space.from}. Choose them with --root and --root-b`,
  );
}

async function compare(
  before: Visit,
  after: Visit,
  { va, kinds, pages, runs, json }: DiffOptions,
  { totals, gapsBefore, gapsAfter }: Findings,
): Promise<void> {
  const by = pages === true ? 'pages' : runs === true ? 'runs' : 'changes';
  const request = { ...after.work, ...va, by, gapsBefore, gaps: gapsAfter } as const;
  for await (const difference of compareSpaces(before, after, request)) {
    if (!kinds.includes(difference.kind)) continue;
    const heading = totals.isEmpty ? HEADING : '';
    totals.add(difference);
    await after.print(
      json === true ? differenceJson(difference, after.space.root) : `${heading}${differenceLine(difference)}`,
    );
  }
  await after.print(json === true ? totals.json(gapsBefore, gapsAfter) : totals.text);
}

/** What neither source contains, as lines for standard error; and whether the comparison is incomplete for it. */
function describeGaps(before: Visit, after: Visit, { va }: DiffOptions, { gapsBefore, gapsAfter }: Findings) {
  let [notes, isIncomplete] = ['', false];
  for (const [name, { space, snapshot }, gaps] of [
    ['A', before, gapsBefore],
    ['B', after, gapsAfter],
  ] as const) {
    notes += gapLines(gaps, space, name);
    if (gaps.missingTables > 0 && snapshot.isExcerpt !== true) isIncomplete = true;
    if (gaps.mappedPages > 0 || va !== undefined) continue;
    isIncomplete = true;
    notes += emptyLine(gaps, space, name);
  }
  return { notes, isIncomplete };
}

/** For the live guest that a dump is compared with. */
function withoutFile({ ramMap: _ramMap, ...options }: DiffOptions): SourceAndSpaceOptions {
  return options;
}

/** For the dump that is compared with a live guest. */
function withoutLive({ qmp: _qmp, gdb: _gdb, ramFile: _ramFile, ...options }: DiffOptions): SourceAndSpaceOptions {
  return options;
}
