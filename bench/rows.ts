/** The rows of the benchmark: what each measures, on which guest, and what was measured or is wanted of it. */
import { resyncWork, readWork } from './rows/looking.ts';
import { type Watching, watchRanges, watchSingly } from './rows/memory.ts';
import { monitorWork, unmonitorWork } from './rows/watching.ts';
import type { Setting, Work } from './rows/work.ts';
import { accessedDirtyWork, batchWork, directoryWork, flipWork, unwatchedWork } from './rows/writes.ts';
import type { Layout } from './world.ts';

export const SIZE_NAMES = ['1k', '100k', '1m'] as const;
export type SizeName = (typeof SIZE_NAMES)[number];

/** In the row's unit. */
export interface Target {
  /** Measured of the Rust implementation, where the calibration was 25 M/s. */
  readonly rust?: number;
  readonly wanted?: number;
  readonly aim?: number;
}

interface RowFacts {
  readonly name: string;
  readonly title: string;
  readonly layouts: Readonly<Partial<Record<SizeName, Layout>>>;
  readonly targets: Readonly<Partial<Record<SizeName, Target>>>;
}

/** Operations per second: more is better. */
export interface RateRow extends RowFacts {
  readonly unit: '/s';
  readonly begin: (setting: Setting) => Work;
  /** Whether it measures an engine; defaults to true. */
  readonly usesEngine?: false;
}

/** Bytes per address or page: fewer is better. */
export interface BytesRow extends RowFacts {
  readonly unit: 'B';
  readonly watch: Watching;
}

export type Row = RateRow | BytesRow;

const LAYOUTS: Readonly<Record<SizeName, Layout>> = {
  '1k': { mode: '4-level', roots: 1, addressesPerRoot: 1000 },
  '100k': { mode: '4-level', roots: 16, addressesPerRoot: 6250 },
  '1m': { mode: '4-level', roots: 64, addressesPerRoot: 15_625 },
};

const FIVE_LEVELS: Readonly<Record<SizeName, Layout>> = {
  '1k': { ...LAYOUTS['1k'], mode: '5-level' },
  '100k': { ...LAYOUTS['100k'], mode: '5-level' },
  '1m': { ...LAYOUTS['1m'], mode: '5-level' },
};

/** 4,096 roots have tables of 64 MiB and 262,144 addresses: that stands among the rows of 100 k. */
const SMALL_PROCESSES = {
  '1k': { mode: '4-level', roots: 16, addressesPerRoot: 64 },
  '100k': { mode: '4-level', roots: 4096, addressesPerRoot: 64 },
} as const;

/** In millions of operations per second. `wanted`, and the Rust original, are at 100 k and 1 M; `aim` is at 100 k. */
interface Millions {
  readonly wanted: readonly [at100k: number, at1m: number];
  readonly aim: number;
  readonly rust?: readonly [at100k: number, at1m: number];
}

function millions({ wanted, aim, rust }: Millions): RowFacts['targets'] {
  const target = (at: 0 | 1) => ({
    wanted: wanted[at] * 1e6,
    ...(rust === undefined ? {} : { rust: rust[at] * 1e6 }),
  });
  return { '100k': { ...target(0), aim: aim * 1e6 }, '1m': target(1) };
}

const rate = (name: string, title: string, begin: RateRow['begin'], targets: RowFacts['targets'] = {}): RateRow => ({
  name,
  title,
  unit: '/s',
  begin,
  targets,
  layouts: LAYOUTS,
});

const bytes = (name: string, title: string, watch: Watching, targets: RowFacts['targets'] = {}): BytesRow => ({
  name,
  title,
  unit: 'B',
  watch,
  targets,
  layouts: LAYOUTS,
});

export const ROWS: readonly Row[] = [
  rate(
    'monitor',
    'monitor single addresses',
    (setting) => monitorWork(setting, 'ascending'),
    millions({ wanted: [2, 1], aim: 5, rust: [0.68, 0.33] }),
  ),
  rate('monitor-shuffled', 'the same in random order', (setting) => monitorWork(setting, 'shuffled')),
  bytes('memory', 'memory per single address', watchSingly, {
    '100k': { rust: 583, wanted: 24 },
    '1m': { rust: 752, wanted: 24 },
  }),
  bytes('range-memory', 'memory per page of a watched range', watchRanges, {
    '100k': { wanted: 16, aim: 8 },
    '1m': { wanted: 16 },
  }),
  rate(
    'flip',
    'a random leaf flips: mark, process, event',
    flipWork,
    millions({ wanted: [8.5, 5], aim: 10, rust: [0.78, 0.5] }),
  ),
  rate(
    'accessed-dirty',
    'only A/D changes: mark, process',
    accessedDirtyWork,
    millions({ wanted: [10, 8], aim: 20, rust: [1.14, 0.67] }),
  ),
  rate('batch', 'flips in batches of 256', batchWork, millions({ wanted: [10, 7.2], aim: 15, rust: [0.83, 0.5] })),
  rate(
    'unwatched',
    'mark on a table that nothing watches',
    unwatchedWork,
    millions({ wanted: [40, 40], aim: 100, rust: [19.6, 15.8] }),
  ),
  rate(
    'directory',
    'a PDE flips, 512 below: events',
    directoryWork,
    millions({ wanted: [8, 5], aim: 20, rust: [0.49, 0.33] }),
  ),
  rate(
    'unmonitor',
    'unmonitor',
    (setting) => unmonitorWork(setting, 'ascending'),
    millions({ wanted: [2, 1], aim: 5, rust: [0.57, 0.64] }),
  ),
  rate('unmonitor-shuffled', 'the same in random order', (setting) => unmonitorWork(setting, 'shuffled')),
  rate('resync', 'resync, nothing changed: entries', resyncWork, millions({ wanted: [20, 20], aim: 60 })),
  {
    ...rate('small-monitor', 'roots of 64 addresses: monitor', (setting) => monitorWork(setting, 'ascending')),
    layouts: SMALL_PROCESSES,
  },
  {
    ...bytes('small-memory', 'roots of 64 addresses: memory per address', watchSingly, { '100k': { wanted: 64 } }),
    layouts: SMALL_PROCESSES,
  },
  { ...rate('small-flip', 'roots of 64 addresses: flips', flipWork), layouts: SMALL_PROCESSES },
  { ...rate('five-level', '5-level paging: flips', flipWork), layouts: FIVE_LEVELS },
  { ...rate('read', 'the memory underneath: entry reads', readWork), usesEngine: false },
];

/** @throws Error that names the rows there are */
export function rowNamed(name: string): Row {
  const row = ROWS.find((row) => row.name === name);
  if (row === undefined) throw new Error(`no row ${name}; there are ${ROWS.map((row) => row.name).join(', ')}`);
  return row;
}
