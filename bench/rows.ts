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
  /** Whether an engine has any part in it; true unless told. */
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

/** Targets at 100 k and 1 M, in millions of operations per second. */
function millions(
  wanted100k: number,
  aim100k: number,
  wanted1m: number,
  rust100k?: number,
  rust1m?: number,
): RowFacts['targets'] {
  const target = (wanted: number, rust: number | undefined) => ({
    wanted: wanted * 1e6,
    ...(rust === undefined ? {} : { rust: rust * 1e6 }),
  });
  return { '100k': { ...target(wanted100k, rust100k), aim: aim100k * 1e6 }, '1m': target(wanted1m, rust1m) };
}

const rate = (
  name: string,
  title: string,
  begin: RateRow['begin'],
  targets: RowFacts['targets'] = {},
  layouts: RowFacts['layouts'] = LAYOUTS,
): RateRow => ({ name, title, unit: '/s', begin, targets, layouts });

const bytes = (
  name: string,
  title: string,
  watch: Watching,
  targets: RowFacts['targets'] = {},
  layouts: RowFacts['layouts'] = LAYOUTS,
): BytesRow => ({ name, title, unit: 'B', watch, targets, layouts });

export const ROWS: readonly Row[] = [
  rate(
    'monitor',
    'monitor single addresses',
    (setting) => monitorWork(setting, 'ascending'),
    millions(2, 5, 1, 0.68, 0.33),
  ),
  rate('monitor-shuffled', 'the same in random order', (setting) => monitorWork(setting, 'shuffled')),
  bytes('memory', 'memory per single address', watchSingly, {
    '100k': { rust: 583, wanted: 120, aim: 60 },
    '1m': { rust: 752, wanted: 120 },
  }),
  bytes('range-memory', 'memory per page of a watched range', watchRanges, {
    '100k': { wanted: 16, aim: 8 },
    '1m': { wanted: 16 },
  }),
  rate('flip', 'a random leaf flips: mark, process, event', flipWork, millions(5, 10, 2.5, 0.78, 0.5)),
  rate('accessed-dirty', 'only A/D changes: mark, process', accessedDirtyWork, millions(10, 20, 5, 1.14, 0.67)),
  rate('batch', 'flips in batches of 256', batchWork, millions(6, 15, 3, 0.83, 0.5)),
  rate('unwatched', 'mark on a table that nothing watches', unwatchedWork, millions(40, 100, 40, 19.6, 15.8)),
  rate('directory', 'a PDE flips, 512 below: events', directoryWork, millions(8, 20, 5, 0.49, 0.33)),
  rate('unmonitor', 'unmonitor', (setting) => unmonitorWork(setting, 'ascending'), millions(2, 5, 1, 0.57, 0.64)),
  rate('unmonitor-shuffled', 'the same in random order', (setting) => unmonitorWork(setting, 'shuffled')),
  rate('resync', 'resync, nothing changed: entries', resyncWork, millions(20, 60, 20)),
  rate(
    'small-monitor',
    'roots of 64 addresses: monitor',
    (setting) => monitorWork(setting, 'ascending'),
    {},
    SMALL_PROCESSES,
  ),
  bytes('small-memory', 'roots of 64 addresses: memory per address', watchSingly, {}, SMALL_PROCESSES),
  rate('small-flip', 'roots of 64 addresses: flips', flipWork, {}, SMALL_PROCESSES),
  rate('five-level', '5-level paging: flips', flipWork, {}, FIVE_LEVELS),
  { ...rate('read', 'the memory underneath: entry reads', readWork), usesEngine: false },
];

/** @throws Error that names the rows there are */
export function rowNamed(name: string): Row {
  const row = ROWS.find((row) => row.name === name);
  if (row === undefined) throw new Error(`no row ${name}; there are ${ROWS.map((row) => row.name).join(', ')}`);
  return row;
}
