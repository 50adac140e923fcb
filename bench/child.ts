/** One figure, taken in a fresh process: `node child.js '{"row":…}'`. The answer is one line of JSON. */
import process from 'node:process';
import { calibrate } from './calibration.ts';
import type { EngineName } from './engine.ts';
import { ENGINES } from './engines.ts';
import { measureRate, ROUND_WRITES } from './measure.ts';
import { rowNamed, type SizeName } from './rows.ts';
import { hold } from './rows/memory.ts';
import { World } from './world.ts';

export interface Task {
  readonly row: string;
  readonly size: SizeName;
  readonly engine: EngineName;
  /** Timed milliseconds. */
  readonly measureMs: number;
}

export interface Figure {
  /** In the row's unit, as measured. */
  readonly value: number;
  /** Of a row of memory: bytes per address that the whole process grew by. */
  readonly residentBytes?: number;
  /** Look-ups per second, before and after. */
  readonly calibrations: readonly [number, number];
}

function take({ row: rowName, size, engine, measureMs }: Task): Figure {
  const row = rowNamed(rowName);
  const world = new World(row.layouts[size]!);
  const before = calibrate();
  if (row.unit === 'B') {
    const { liveBytes, residentBytes } = hold(world, engine, row.watch);
    return { value: liveBytes, residentBytes, calibrations: [before, calibrate()] };
  }
  const work = row.begin({ world, makeEngine: ENGINES[engine], roundWrites: ROUND_WRITES, collects: true });
  const { rate } = measureRate(work, measureMs / 2, measureMs);
  return { value: rate, calibrations: [before, calibrate()] };
}

process.stdout.write(`${JSON.stringify(take(JSON.parse(process.argv[2]!) as Task))}\n`);
