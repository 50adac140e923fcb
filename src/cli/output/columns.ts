/** Tables of text. */
import { pad, widthOf } from '../../sinks/text-width.ts';

export interface ColumnsOptions {
  /** Columns of numbers, which are aligned on the right. */
  readonly right?: ReadonlySet<number>;
  /** Spaces between two columns. */
  readonly gap?: number;
}

/** Lines of columns as wide as their content, without spaces at the ends. */
export function columns(rows: readonly (readonly string[])[], { right, gap = 1 }: ColumnsOptions = {}): string[] {
  const widths = (rows[0] ?? []).map((_, column) =>
    rows.reduce((width, row) => Math.max(width, widthOf(row[column]!)), 0),
  );
  return rows.map((row) =>
    row
      .map((cell, column) =>
        right?.has(column) ? ' '.repeat(widths[column]! - widthOf(cell)) + cell : pad(cell, widths[column]!),
      )
      .join(' '.repeat(gap))
      .trimEnd(),
  );
}
