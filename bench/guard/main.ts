/**
 * `npm run bench:guard -- [--update] [--plant PERCENT]`: whether the engine has lost more than 30 % of its speed since the
 * baseline. Exit 1 if it has, in each of several attempts; 2 on bad usage. `--update` takes a new baseline, `--plant` slows
 * the engine down to show that it is noticed.
 */
import { execFile } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { median } from '../statistics.ts';
import { GUARDED, judge, type Ratios, type Verdict } from './verdict.ts';

const ATTEMPT = fileURLToPath(new URL('attempt.js', import.meta.url));
const BASELINE = fileURLToPath(new URL('../../../bench/guard/baseline.json', import.meta.url));

const MOST_ATTEMPTS = 3;
const UPDATE_ATTEMPTS = 11;

/** Below this the engine's extra work would be on less than a page table (`planted`). */
const LEAST_PLANTED = 0.34;

interface Baseline {
  /** Major version: another compiler makes other code of both sides. */
  readonly node: number;
  readonly ratios: Ratios;
}

const node = Number.parseInt(process.versions.node, 10);
const { update, plant } = readArguments();
if (update) await takeBaseline();
else await guard();

async function guard(): Promise<void> {
  const baseline = JSON.parse(readFileSync(BASELINE, 'utf8')) as Baseline;
  if (baseline.node !== node) {
    process.stdout.write(`the baseline is of Node ${baseline.node}, this is Node ${node}: nothing to compare\n`);
    return;
  }
  const attempts: Ratios[] = [];
  let verdicts: readonly Verdict[];
  do {
    attempts.push(await attempt());
    verdicts = judge(baseline.ratios, attempts);
  } while (verdicts.some(({ lost }) => lost) && attempts.length < MOST_ATTEMPTS);
  process.stdout.write(`${verdicts.map(describe).join('\n')}\n`);
  const lost = verdicts.filter((verdict) => verdict.lost).map(({ row }) => row);
  if (lost.length === 0) return;
  process.stdout.write(
    `more than 30 % slower, ${attempts.length} times out of ${attempts.length}: ${lost.join(', ')}\n`,
  );
  process.exitCode = 1;
}

async function takeBaseline(): Promise<void> {
  const attempts: Ratios[] = [];
  for (let index = 0; index < UPDATE_ATTEMPTS; index++) attempts.push(await attempt());
  const ratios = Object.fromEntries(
    GUARDED.map(({ row }) => [row, Number(median(attempts.map((each) => each[row]!)).toPrecision(3))]),
  );
  writeFileSync(BASELINE, `${JSON.stringify({ node, ratios } satisfies Baseline, null, 2)}\n`);
  process.stdout.write(`${judge(ratios, attempts).map(describe).join('\n')}\nwrote bench/guard/baseline.json\n`);
}

async function attempt(): Promise<Ratios> {
  const { stdout } = await promisify(execFile)(process.execPath, [ATTEMPT, String(plant)]);
  return JSON.parse(stdout) as Ratios;
}

function describe({ row, baseline, best, loss, lost }: Verdict): string {
  const change = `${loss > 0 ? '-' : '+'}${Math.round(Math.abs(loss) * 100)} %`;
  return `${row.padEnd(15)} ${baseline.toFixed(3)} → ${best.toFixed(3)}  ${change.padStart(6)}${lost ? '  LOST' : ''}`;
}

function readArguments(): { readonly update: boolean; readonly plant: number } {
  try {
    const { values } = parseArgs({ options: { update: { type: 'boolean' }, plant: { type: 'string' } } });
    const plant = Number(values.plant ?? 0) / 100;
    if (plant === 0 || (plant >= LEAST_PLANTED && plant < 1)) return { update: values.update ?? false, plant };
    throw new Error(`--plant ${values.plant} is not a percentage from ${LEAST_PLANTED * 100} to 99`);
  } catch (error) {
    process.stderr.write(`bench:guard: ${(error as Error).message}\nusage: bench:guard [--update] [--plant PERCENT]\n`);
    process.exit(2);
  }
}
