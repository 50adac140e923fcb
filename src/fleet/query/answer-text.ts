/** An answer as JSON lines, as CSV, or as the cells of a table. */
import { escaped } from '../../sinks/jsonl-format.ts';
import { quoted } from '../../sinks/csv.ts';
import { printable } from '../../sinks/printable.ts';
import type { AnswerRow, AnswerValue } from './ask-archive.ts';

/** Columns of these names have addresses or entries, which are hexadecimal everywhere in ptmon. */
const HEXADECIMAL = new Set(['root', 'va', 'pa', 'entry_pa', 'old_value', 'new_value']);

export function jsonLines(columns: readonly string[], rows: readonly AnswerRow[]): string {
  return rows
    .map(
      (row) =>
        `${escaped(JSON.stringify(Object.fromEntries(row.map((value, at) => [columns[at]!, jsonOf(value, columns[at]!)]))))}\n`,
    )
    .join('');
}

export function csvText(cells: readonly (readonly string[])[]): string {
  return cells.map((row) => `${row.map(quoted).join(',')}\r\n`).join('');
}

export function tableCells(cells: readonly (readonly string[])[]): readonly (readonly string[])[] {
  return cells.map((row) => row.map(printable));
}

export function cellsOf(columns: readonly string[], rows: readonly AnswerRow[]): readonly (readonly string[])[] {
  return rows.map((row) => row.map((value, at) => textOf(value, columns[at]!)));
}

function jsonOf(value: AnswerValue, column: string): AnswerValue {
  if (typeof value !== 'bigint') return value;
  // JSON's numbers are exact up to 2^53.
  const isExact = value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= BigInt(Number.MIN_SAFE_INTEGER);
  return isExact && !HEXADECIMAL.has(column) ? Number(value) : textOf(value, column);
}

function textOf(value: AnswerValue, column: string): string {
  if (value === null) return '';
  return typeof value === 'bigint' && HEXADECIMAL.has(column) ? `0x${value.toString(16)}` : String(value);
}
