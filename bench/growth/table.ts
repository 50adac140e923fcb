/** The growth of the rows as a table: in columns for a terminal, or in Markdown. */
import { renderTable, type Style } from '../tables.ts';
import type { Growth } from './measure.ts';

const HEADINGS = ['', 'n', 'ms at n', 'at 2n', 'at 4n', 'growth'];

export function renderGrowth(rows: readonly Growth[], style: Style): string {
  const lines = rows.map(({ title, n, ms, growth }) => [
    style === 'text' ? title.replaceAll('`', '') : title,
    String(n),
    ...ms.map((each) => each.toFixed(1)),
    growth.toFixed(1),
  ]);
  return `${renderTable([HEADINGS, ...lines], style)}\n`;
}
