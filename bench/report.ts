/** What a run of the benchmark found, and the few numbers that are made of it. Plain data: `--json` prints it. */
import { REFERENCE_CALIBRATION } from './calibration.ts';
import type { Figure } from './child.ts';
import type { EngineName } from './engine.ts';
import type { Machine } from './machine.ts';
import { rowNamed, type SizeName, type Target } from './rows.ts';
import { median, type Spread, spreadOf } from './statistics.ts';

/** One row at one size by one engine: a figure of each fresh process. */
export interface Result {
  readonly row: string;
  readonly size: SizeName;
  readonly engine: EngineName;
  readonly figures: readonly Figure[];
}

export interface Report {
  readonly machine: Machine;
  /** Timed milliseconds of each process. */
  readonly measureMs: number;
  readonly results: readonly Result[];
}

export interface Summary {
  /** As measured, in the row's unit. */
  readonly value: Spread;
  /** What the reference would give: rates by their calibration, bytes as they are. */
  readonly scaled: Spread;
  readonly residentBytes: Spread | undefined;
  readonly calibration: Spread;
}

export function summarize({ row, figures }: Result): Summary {
  const isRate = rowNamed(row).unit === '/s';
  const calibrationOf = ({ calibrations: [before, after] }: Figure) => (before + after) / 2;
  const scale = (figure: Figure) => (isRate ? REFERENCE_CALIBRATION / calibrationOf(figure) : 1);
  const resident = figures.flatMap(({ residentBytes }) => (residentBytes === undefined ? [] : [residentBytes]));
  return {
    value: spreadOf(figures.map(({ value }) => value)),
    scaled: spreadOf(figures.map((figure) => figure.value * scale(figure))),
    residentBytes: resident.length === 0 ? undefined : spreadOf(resident),
    calibration: spreadOf(figures.map(calibrationOf)),
  };
}

/** How many times better than the naive implementation: faster, or smaller. By scaled figures; undefined without both. */
export function timesBetter(report: Report, row: string, size: SizeName): number | undefined {
  const [own, naive] = (['ptmon', 'naive'] as const).map((engine) => {
    const result = findResult(report, row, size, engine);
    return result && summarize(result).scaled.median;
  });
  if (own === undefined || naive === undefined) return undefined;
  return rowNamed(row).unit === '/s' ? own / naive : naive / own;
}

export function findResult(report: Report, row: string, size: SizeName, engine: EngineName): Result | undefined {
  return report.results.find((each) => each.row === row && each.size === size && each.engine === engine);
}

/** How much of what is wanted is reached: 1 is all of it. Undefined where nothing is wanted. */
export function shareOfWanted(unit: '/s' | 'B', scaled: number, target: Target | undefined): number | undefined {
  if (target?.wanted === undefined) return undefined;
  return unit === '/s' ? scaled / target.wanted : target.wanted / scaled;
}

/** The calibration of the whole report, look-ups per second. */
export function overallCalibration(report: Report): number {
  return median(report.results.flatMap(({ figures }) => figures.flatMap(({ calibrations }) => calibrations)));
}
