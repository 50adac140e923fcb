/** Which lines of each session are in an archive: a few ranges each, because lines come nearly in their order. */

/** Of each session: ascending pairs of the first position and the one after the last. */
export type Positions = Readonly<Record<string, readonly (readonly [first: number, end: number])[]>>;

export interface Placed {
  readonly session: string;
  readonly position: number;
}

export function has(positions: Positions, { session, position }: Placed): boolean {
  const ranges = Object.hasOwn(positions, session) ? positions[session]! : [];
  return ranges.some(([first, end]) => first <= position && position < end);
}

export function withAll(positions: Positions, lines: readonly Placed[]): Positions {
  const added = new Map<string, (readonly [number, number])[]>();
  for (const { session, position } of lines) {
    const ranges = added.get(session);
    const last = ranges?.at(-1);
    if (ranges === undefined) added.set(session, [[position, position + 1]]);
    else if (last?.[1] === position) ranges[ranges.length - 1] = [last[0], position + 1];
    else ranges.push([position, position + 1]);
  }
  const joined = [...added].map(([session, ranges]) => {
    const before = Object.hasOwn(positions, session) ? positions[session]! : [];
    return [session, joinedRanges([...before, ...ranges])] as const;
  });
  return { ...positions, ...Object.fromEntries(joined) };
}

function joinedRanges(ranges: readonly (readonly [number, number])[]): readonly (readonly [number, number])[] {
  const joined: [number, number][] = [];
  for (const [first, end] of [...ranges].sort(([a], [b]) => a - b)) {
    const last = joined.at(-1);
    if (last === undefined || first > last[1]) joined.push([first, end]);
    else last[1] = Math.max(last[1], end);
  }
  return joined;
}
