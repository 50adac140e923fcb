/** The columns of `ptmon top`: of each the title, the width, the text of a row, and what its order compares. */
import { amountText, sizeText } from '../../output/size-text.ts';
import type { TopRow } from './top-rows.ts';
import type { Sort } from './top-sorts.ts';

export interface Column {
  readonly title: string;
  readonly width: number;
  readonly sort?: Sort;
  /** What the order compares; PIDs and names ascend. */
  readonly value?: (row: TopRow) => number;
  readonly isLeft?: boolean;
  readonly text: (row: TopRow) => string;
}

export const COLUMNS: readonly Column[] = [
  { title: 'PID', width: 7, sort: 'pid', text: ({ pid }) => String(pid) },
  { title: 'COMMAND', width: 0, sort: 'name', isLeft: true, text: ({ command }) => command },
  {
    title: 'RESIDENT',
    width: 9,
    sort: 'resident',
    value: (row) => row.resident,
    text: ({ resident }) => sizeText(resident),
  },
  { title: 'IN/s', width: 6, sort: 'in', value: (row) => row.pagesIn, text: ({ pagesIn }) => rateText(pagesIn) },
  { title: 'OUT/s', width: 6, sort: 'out', value: (row) => row.pagesOut, text: ({ pagesOut }) => rateText(pagesOut) },
  { title: 'COW/s', width: 6, sort: 'copies', value: (row) => row.copies, text: ({ copies }) => rateText(copies) },
  { title: 'LARGE', width: 7, sort: 'large', value: (row) => row.large, text: ({ large }) => amountText(large) },
  { title: 'SWAP', width: 7, sort: 'swap', value: (row) => row.swapped, text: ({ swapped }) => amountText(swapped) },
  { title: 'STATE', width: 5, isLeft: true, text: ({ state }) => state },
];
/** Where there is room for more. */
export const WIDE: readonly Column[] = [
  { title: 'UID', width: 6, text: ({ uid }) => String(uid) },
  { title: 'THR', width: 4, text: ({ threads }) => String(threads) },
];

/** The largest first, but PIDs and names ascending. */
export function sorted(rows: readonly TopRow[], by: Sort): TopRow[] {
  const value = COLUMNS.find(({ sort }) => sort === by)?.value;
  const compare = (a: TopRow, b: TopRow): number => {
    if (value !== undefined) return value(b) - value(a) || b.resident - a.resident || a.pid - b.pid;
    return (by === 'name' ? a.command.localeCompare(b.command) : 0) || a.pid - b.pid;
  };
  return [...rows].sort(compare);
}

/** A rate in at most five characters; nothing for none. */
export function rateText(perSecond: number): string {
  if (perSecond === 0) return '0';
  if (perSecond < 10) return perSecond.toFixed(1);
  if (perSecond < 100_000) return String(Math.round(perSecond));
  return perSecond < 1e6 ? `${Math.round(perSecond / 1000)}k` : `${(perSecond / 1e6).toFixed(1)}m`;
}
