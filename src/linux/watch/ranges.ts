/** Ranges of virtual addresses that are watched. */

export interface Range {
  readonly start: bigint;
  /** Exclusive. */
  readonly end: bigint;
  /** Of the area that it was watched for; empty where it is not for one. */
  readonly name: string;
}

interface Bounds {
  readonly start: bigint;
  readonly end: bigint;
}

/** What of some ranges is in none of the others, with the names that they have. */
export function without(ranges: readonly Range[], others: readonly Bounds[]): Range[] {
  return others.reduce<readonly Range[]>((left, other) => left.flatMap((range) => cut(range, other)), ranges).slice();
}

function cut(range: Range, { start, end }: Bounds): Range[] {
  const pieces = [
    { ...range, end: start < range.end ? start : range.end },
    { ...range, start: end > range.start ? end : range.start },
  ];
  return pieces.filter((piece) => piece.start < piece.end);
}
