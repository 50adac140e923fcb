/** What `ptmon top` draws: lines that are exactly as wide as the terminal, and as many as it has. */
import type { Ansis } from 'ansis';
import { type MappedArea, rightsText } from '../../../linux/index.ts';
import { areaName } from '../../output/area-name.ts';
import { printable } from '../../../sinks/printable.ts';
import { fit, fitPath, widthOf } from '../../../sinks/text-width.ts';
import { amountText, sizeText } from '../../output/size-text.ts';
import { COLUMNS, type Column, rateText, sorted, WIDE } from './top-columns.ts';
import type { TopRow } from './top-rows.ts';
import type { Sort } from './top-sorts.ts';

export interface Terminal {
  readonly columns: number;
  readonly rows: number;
}

/** A process that is opened into its areas. */
export interface OpenedProcess {
  readonly pid: number;
  readonly name: string;
  readonly areas: readonly MappedArea[];
  /** Why there is nothing to see. */
  readonly failure?: string;
}

export interface TopState {
  readonly guest: string;
  readonly intervalMs: number;
  readonly processes: readonly TopRow[];
  readonly sort: Sort;
  /** PID of the marked row. */
  readonly selected: number | undefined;
  readonly opened: OpenedProcess | undefined;
  /** First line of the list that is shown. */
  readonly scroll: number;
  readonly showsHelp: boolean;
  /** Of the last look, if it failed. */
  readonly failure: string | undefined;
}

/** Lines above the list. */
export const HEAD_LINES = 3;

const HELP = [
  'r  by resident memory    i  by pages in a second    o  by pages out a second',
  'c  by copies a second    l  by large pages          s  by swap',
  'p  by PID                n  by name',
  '',
  'Up, Down, Page Up, Page Down, Home, End   move',
  'Enter   open a process into its areas     Esc, Backspace, Left   back',
  'q   quit                                  Ctrl-Z   suspend',
  '',
  'RESIDENT      memory that the page tables map',
  'IN/s, OUT/s   4 KiB pages that gained and lost the memory behind them',
  'COW/s         read-only pages that became writable with another frame',
  'LARGE         the part of RESIDENT that pages larger than 4 KiB map',
];

/** What NO_COLOR takes away, and what it leaves: without inverse lines nobody sees which row is marked. */
export interface Look {
  readonly colour: Ansis;
  readonly style: Ansis;
}

/** @returns `rows` lines of exactly `columns` columns, without line feeds */
export function screenLines(state: TopState, { columns, rows }: Terminal, colour: Ansis, style = colour): string[] {
  const look = { colour, style };
  const head = headLines(state, columns, style);
  const list = state.showsHelp ? HELP.map((line) => ` ${line}`) : listLines(state, columns, look);
  const space = Math.max(0, rows - head.length - 1);
  const shown = list.slice(state.scroll, state.scroll + space);
  const blank = Array.from({ length: space - shown.length }, () => '');
  const lines = [...head, ...shown, ...blank, footLine(state, columns, look)];
  return lines.slice(0, rows).map((line) => (line.includes('\x1b') ? line : fit(line, columns)));
}

function headLines(state: TopState, columns: number, style: Ansis): string[] {
  const { guest, processes, intervalMs, opened } = state;
  const sum = (of: (row: TopRow) => number) => processes.reduce((total, row) => total + of(row), 0);
  const first = `ptmon top  ${printable(guest)}`;
  const totals =
    `${processes.length} ${processes.length === 1 ? 'process' : 'processes'}, ${sizeText(sum(({ resident }) => resident))} mapped, ` +
    `${sizeText(sum(({ swapped }) => swapped))} swapped, ${rateText(sum(({ pagesIn }) => pagesIn))} pages/s in, ` +
    `${rateText(sum(({ pagesOut }) => pagesOut))} out`;
  const right = `sampled every ${intervalMs / 1000} s`;
  const title = fit(first, Math.max(0, columns - widthOf(right) - 1));
  const top = columns > widthOf(right) + 20 ? `${style.bold(title)} ${style.dim(right)}` : fit(first, columns);
  const second = opened === undefined ? totals : `${opened.name}[${opened.pid}]: ${areasText(opened)}`;
  const heading = opened === undefined ? processHeading(state, columns, style) : areaHeading(columns, style);
  return [top, fit(second, columns), state.showsHelp ? style.inverse(fit('Keys', columns)) : heading];
}

function areasText({ areas, failure }: OpenedProcess): string {
  if (failure !== undefined) return failure;
  const resident = areas.reduce((total, area) => total + area.resident, 0) * 4096;
  return `${areas.length} ${areas.length === 1 ? 'area' : 'areas'}, ${sizeText(resident)} resident`;
}

function footLine({ failure, opened, showsHelp }: TopState, columns: number, { colour, style }: Look): string {
  if (failure !== undefined) return colour.red(fit(failure, columns));
  const keys = showsHelp
    ? 'any key: back'
    : opened === undefined
      ? 'q quit  ? keys  Enter open  sort: r i o c l s p n'
      : 'q quit  Esc back  Up/Down scroll';
  return style.dim(fit(keys, columns));
}

const COMMAND_COLUMNS = 16;
const MIN_COMMAND = 4;
/** From so many columns on there is room for more. */
const WIDE_COLUMNS = 96;
const HISTORY_COLUMNS = 130;

/** The columns that fit, with the name as wide as is left, up to twice its longest. */
function columnsFor(columns: number): readonly Column[] {
  let chosen = [...COLUMNS, ...(columns >= WIDE_COLUMNS ? WIDE : [])];
  const leftBy = () => columns - chosen.reduce((sum, { width }) => sum + width + 1, 0) + 1;
  while (leftBy() < MIN_COMMAND && chosen.length > 1) chosen = chosen.slice(0, -1);
  const left = leftBy();
  const isHistoric = columns >= HISTORY_COLUMNS;
  const command = Math.max(0, isHistoric ? 2 * COMMAND_COLUMNS : Math.min(left, 2 * COMMAND_COLUMNS));
  const history = left - command - 1;
  return [
    ...chosen.map((column) => (column.width === 0 ? { ...column, width: command } : column)),
    ...(isHistoric && history > 10
      ? [{ title: 'IN+OUT/s', width: history, isLeft: true, text: (row: TopRow) => sparkline(row.history, history) }]
      : []),
  ];
}

function processHeading({ sort }: TopState, columns: number, style: Ansis): string {
  const cells = columnsFor(columns).map(({ title, width, isLeft, sort: own }) => {
    const cell = cellOf(title, width, isLeft);
    return own === sort ? style.underline(cell) : cell;
  });
  return style.inverse(fill(cells, columnsFor(columns), columns));
}

function listLines(state: TopState, columns: number, { colour, style }: Look): string[] {
  const { opened, processes, sort, selected } = state;
  if (opened !== undefined) return areaLines(opened.areas, columns);
  const chosen = columnsFor(columns);
  return sorted(processes, sort).map((row) => {
    const cells = chosen.map(({ text, width, isLeft }) => cellOf(text(row), width, isLeft));
    const line = fill(cells, chosen, columns);
    if (row.pid === selected) return colour.level === 0 ? style.inverse(line) : colour.bgBlue.white(line);
    return row.pagesIn + row.pagesOut > 0 ? colour.green(line) : line;
  });
}

/** The cells with a space between two, and spaces behind them. */
function fill(cells: readonly string[], chosen: readonly Column[], columns: number): string {
  const used = chosen.reduce((sum, { width }) => sum + width + 1, 0) - 1;
  return cells.join(' ') + ' '.repeat(Math.max(0, columns - used));
}

function cellOf(text: string, width: number, isLeft = false): string {
  if (isLeft) return fit(text, width);
  const fitted = widthOf(text) > width ? fit(text, width) : text;
  return ' '.repeat(width - widthOf(fitted)) + fitted;
}

const AREA_TEXT = 62;

function areaHeading(columns: number, style: Ansis): string {
  const cells = [
    fit('START', 18),
    fit('RIGHTS', 6),
    ...['SIZE', 'RESIDENT', 'SWAP'].map((title) => cellOf(title, 9)),
    'NAME',
  ];
  return style.inverse(fit(cells.join(' '), columns));
}

function areaLines(areas: readonly MappedArea[], columns: number): string[] {
  return areas.map(({ start, end, rights, resident, swapped, name }) => {
    const cells = [
      fit(`0x${start.toString(16)}`, 18),
      fit(rightsText(rights), 6),
      cellOf(sizeText(Number(end - start)), 9),
      cellOf(amountText(resident * 4096), 9),
      cellOf(amountText(swapped * 4096), 9),
    ];
    return fit(`${cells.join(' ')} ${fitPath(areaName(name), Math.max(0, columns - AREA_TEXT))}`, columns);
  });
}

const BARS = ' ▁▂▃▄▅▆▇█';

/** The last values as bars of eight heights, against the largest of them. */
export function sparkline(values: readonly number[], width: number): string {
  const shown = values.slice(-width);
  const most = Math.max(1, ...shown);
  const bars = shown.map((value) => (value === 0 ? '·' : BARS[Math.max(1, Math.ceil((value / most) * 8))]!));
  return bars.join('').padEnd(width);
}
