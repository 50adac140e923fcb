/** Two tables of pages in and out, side by side. */
import type { Ansis } from 'ansis';
import { fitWho } from '../../sinks/console/row-layout.ts';
import { printable } from '../../sinks/printable.ts';
import { pad } from '../../sinks/text-width.ts';
import { type InOut, largest } from './page-tally.ts';

const LINES = 12;
const NAME_COLUMNS = 17;
const COUNT_COLUMNS = 10;

type Sums = readonly [name: string, sums: ReadonlyMap<string, InOut>];

/** Lines, without their ends. */
export function tallyTables(leftSums: Sums, rightSums: Sums, colours: Ansis): string[] {
  const left = table(...leftSums, colours);
  const right = table(...rightSums, colours);
  return Array.from({ length: Math.max(left.length, right.length) }, (_, n) =>
    `${left[n] ?? ' '.repeat(NAME_COLUMNS + 2 * COUNT_COLUMNS)}    ${right[n] ?? ''}`.trimEnd(),
  );
}

function table(name: string, sums: ReadonlyMap<string, InOut>, colours: Ansis): string[] {
  const cell = (text: string, paint: Ansis): string => ' '.repeat(COUNT_COLUMNS - text.length) + (text && paint(text));
  const count = (sign: string, n: number): string => (n === 0 ? '' : `${sign}${n}`);
  return [
    pad(name, NAME_COLUMNS) + cell('pages in', colours.dim) + cell('out', colours.dim),
    ...largest(sums, LINES).map(
      ([key, sum]) =>
        `${fitWho(printable(key), NAME_COLUMNS - 1)} ` +
        cell(count('+', sum.in), colours.green) +
        cell(count('-', sum.out), colours.red),
    ),
  ];
}
