/** A report as tables: in columns for a terminal, or in Markdown. */
import type { EngineName } from './engine.ts';
import {
  findResult,
  overallCalibration,
  type Report,
  shareOfWanted,
  summarize,
  type Summary,
  timesBetter,
} from './report.ts';
import { ROWS, type Row, SIZE_NAMES, type SizeName } from './rows.ts';
import type { Spread } from './statistics.ts';

export type Style = 'text' | 'markdown';

const HEADINGS = ['', 'ptmon', 'min…max', 'at 25 M/s', 'wanted', 'reached', 'aim', 'Rust', 'naive', 'better'] as const;

export function renderReport(report: Report, style: Style): string {
  const blocks = SIZE_NAMES.flatMap((size) => {
    const rows = ROWS.flatMap((row) => linesOf(report, row, size));
    return rows.length === 0 ? [] : [`${headingOf(size, style)}\n\n${renderTable([HEADINGS, ...rows], style)}`];
  });
  return `${describe(report)}\n\n${blocks.join('\n\n')}\n`;
}

function describe({ machine, ...report }: Report): string {
  const { cpu, cores, memoryGiB, system, node, load } = machine;
  const runs = Math.max(0, ...report.results.map(({ figures }) => figures.length));
  return [
    `${cpu}, ${cores} cores, ${memoryGiB} GiB; ${system}; Node ${node}; load ${load.map((each) => each.toFixed(1)).join(' before, ')} after.`,
    `Calibration ${inMillions(overallCalibration({ machine, ...report }))} M look-ups/s.`,
    `Medians of ${runs} ${runs === 1 ? 'process' : 'processes'}, each timed for ${report.measureMs} ms. Rates in millions per second, memory in bytes.`,
  ].join('\n');
}

function headingOf(size: SizeName, style: Style): string {
  const text = { '1k': '1 k addresses in 1 root', '100k': '100 k addresses in 16 roots', '1m': '1 M in 64 roots' }[
    size
  ];
  return style === 'markdown' ? `### ${text}` : text;
}

/** One line, or two for a row of memory; none where it was not measured. */
function linesOf(report: Report, row: Row, size: SizeName): string[][] {
  const summaryOf = (engine: EngineName) => {
    const result = findResult(report, row.name, size, engine);
    return result && summarize(result);
  };
  const [own, naive] = [summaryOf('ptmon'), summaryOf('naive')];
  if (own === undefined && naive === undefined) return [];
  const show = row.unit === '/s' ? inMillions : inBytes;
  const target = row.targets[size];
  const share = own && shareOfWanted(row.unit, own.scaled.median, target);
  const line = [
    row.title,
    ...showSpread(own?.value, show),
    row.unit === '/s' && own ? show(own.scaled.median) : '',
    ...[target?.wanted === undefined ? '' : show(target.wanted), share === undefined ? '' : showShare(share)],
    ...[target?.aim, target?.rust].map((each) => (each === undefined ? '' : show(each))),
    naive === undefined ? '' : show(naive.value.median),
    showTimes(timesBetter(report, row.name, size)),
  ];
  return row.unit === 'B' ? [line, residentLine(own, naive)] : [line];
}

function residentLine(own: Summary | undefined, naive: Summary | undefined): string[] {
  const median = naive?.residentBytes?.median;
  const cells = ['  growth of the process', ...showSpread(own?.residentBytes, inBytes), '', '', '', '', ''];
  return [...cells, median === undefined ? '' : inBytes(median), ''];
}

function showSpread(spread: Spread | undefined, show: (value: number) => string): [median: string, range: string] {
  return spread === undefined ? ['', ''] : [show(spread.median), `${show(spread.min)}…${show(spread.max)}`];
}

/** Three digits. */
function inMillions(value: number): string {
  const millions = value / 1e6;
  return millions.toFixed(millions < 10 ? 2 : millions < 100 ? 1 : 0);
}

function inBytes(value: number): string {
  return value.toFixed(Math.abs(value) < 100 ? 1 : 0);
}

const showShare = (share: number) => `${Math.round(share * 100)} %`;

function showTimes(times: number | undefined): string {
  return times === undefined ? '' : `${times.toFixed(1)} ×`;
}

export function renderTable(rows: readonly (readonly string[])[], style: Style): string {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  const pad = (cell: string, column: number) =>
    column === 0 ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!);
  if (style === 'text') return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
  const rule = widths.map((_, column) => (column === 0 ? '---' : '--:'));
  return [rows[0]!, rule, ...rows.slice(1)]
    .map((row) => `| ${row.map((cell) => cell.trim()).join(' | ')} |`)
    .join('\n');
}
