/** Rows that a file can take, also of a line whose values are not what they should be: one damaged line must not keep the others out. */
import type { JournalLine } from '../journal/read-segment.ts';
import { COLUMNS, type ColumnType } from './parquet.ts';
import { gapRow, type Row, rowsOf } from './row.ts';

const FITS: Readonly<Record<ColumnType, (value: Row[string]) => boolean>> = {
  text: (value) => typeof value === 'string',
  UBIGINT: (value) => typeof value === 'bigint' && BigInt.asUintN(64, value) === value,
  UINTEGER: (value) => typeof value === 'number' && value >>> 0 === value,
  BOOLEAN: (value) => typeof value === 'boolean',
  TIMESTAMP: (value) => typeof value === 'bigint' && BigInt.asIntN(64, value) === value,
};

/** Those of the line; one that says it is damaged where a value does not fit its column. */
export function fittingRowsOf(line: Omit<JournalLine, 'text'>): readonly Row[] {
  try {
    const rows = rowsOf(line);
    if (rows.every(fits)) return rows;
  } catch {
    // A text that is no number, for example.
  }
  return [gapRow(line, undefined, 'a damaged line')];
}

function fits(row: Row): boolean {
  if (typeof row['kind'] !== 'string') return false;
  return Object.entries(row).every(
    ([name, value]) => (value ?? undefined) === undefined || FITS[COLUMNS[name]!](value),
  );
}
