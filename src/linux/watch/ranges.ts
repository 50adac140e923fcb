/** Ranges of virtual addresses. */
export interface Range {
  readonly start: bigint;
  /** Exclusive. */
  readonly end: bigint;
}

/** What of some ranges is in none of the others. */
export function without(ranges: readonly Range[], others: readonly Range[]): Range[] {
  const cut = (left: readonly Range[], other: Range) => left.flatMap((range) => piecesAround(range, other));
  return others.reduce<readonly Range[]>(cut, ranges).slice();
}

function piecesAround({ start, end }: Range, other: Range): Range[] {
  const pieces = [
    { start, end: other.start < end ? other.start : end },
    { start: other.end > start ? other.end : start, end },
  ];
  return pieces.filter((piece) => piece.start < piece.end);
}

/** The same in as few ranges as there can be, ascending; none overlap another. */
export function joined(ranges: readonly Range[]): Range[] {
  const list: Range[] = [];
  for (const { start, end } of [...ranges].sort((a, b) => (a.start < b.start ? -1 : 1))) {
    const last = list.at(-1);
    if (last?.end === start) list[list.length - 1] = { start: last.start, end };
    else list.push({ start, end });
  }
  return list;
}

/** Whether an address is in a range. */
export function isAround(va: bigint): (range: Range) => boolean {
  return ({ start, end }) => va >= start && va < end;
}
