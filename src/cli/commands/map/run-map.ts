/** Lists what an address space maps. */
import { GapTotals, listRanges, type RangeFilter, RangeTotals } from '../../../snapshot/index.ts';
import { lineColumnsOf } from '../../../sinks/columns.ts';
import type { CommandContext } from '../../context.ts';
import type { OptionRange } from '../../options/address-range.ts';
import type { SourceAndSpaceOptions, SourceName } from '../../options/source.ts';
import { byteCount } from '../../options/values.ts';
import { EXIT_INCOMPLETE, EXIT_OK } from '../../exit/exit-codes.ts';
import { interruptible } from '../../exit/interruptible.ts';
import { emptyLine, gapLines } from '../../output/gap-text.ts';
import { visitSnapshot } from '../../snapshot/visit-snapshot.ts';
import { RangeNames } from './range-names.ts';
import { CSV, JSON_LINES, textWriter } from './range-writers.ts';
import { printStatus } from '../../output/status-lines.ts';

export interface MapOptions extends SourceAndSpaceOptions {
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
  /** `4K`, `2M`, … */
  readonly pageSize?: readonly string[];
  readonly findPa?: OptionRange;
  readonly runs?: boolean;
  readonly json?: boolean;
  readonly csv?: boolean;
}

/** @throws PtmonError as `visitSnapshot` and `listRanges` */
export async function runMap(source: SourceName, options: MapOptions, context: CommandContext): Promise<void> {
  const { va, runs = false, json = false, csv = false } = options;
  const writer = json ? JSON_LINES : csv ? CSV : textWriter(lineColumnsOf(context.output.stream));
  await interruptible(context, async (signal) => {
    const [totals, gaps] = [new RangeTotals(), new GapTotals()];
    let notes = '';
    let [isEmpty, isIncomplete] = [false, false];
    await visitSnapshot({ source, options, streams: context, signal }, async (visit) => {
      const { snapshot, space, work } = visit;
      await visit.print(writer.heading(space, snapshot.warnings));
      const by = runs ? 'runs' : 'rights';
      const names = new RangeNames(visit);
      const filter = filterOf(options);
      for await (const range of listRanges(snapshot, space, { ...work, ...va, by, gaps, filter })) {
        totals.add(range);
        await visit.print(writer.range(range, space, await names.of(range)));
      }
      await visit.print(writer.totals(totals, gaps));
      notes = gapLines(gaps, space);
      isIncomplete = gaps.missingTables > 0 && snapshot.isExcerpt !== true;
      if (totals.sums.ranges === 0) {
        isEmpty = Object.keys(filter).length === 0 && va === undefined;
        notes += isEmpty ? emptyLine(gaps, space) : 'ptmon: no mapped range matches the filters\n';
      }
    });
    await printStatus(context.messages, notes);
    return isIncomplete || isEmpty ? EXIT_INCOMPLETE : EXIT_OK;
  });
}

function filterOf(options: MapOptions): RangeFilter {
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
    ...(pageSize !== undefined && { pageSizes: pageSize.map(byteCount) }),
    ...(findPa !== undefined && {
      physical: { pa: Number(findPa.from), byteLength: Number(findPa.to - findPa.from) },
    }),
  };
}
