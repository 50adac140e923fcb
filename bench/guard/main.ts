/**
 * `npm run bench:guard -- [--update] [--plant PERCENT]`: checks whether the engine has lost more than 30 % of its speed since the
 * baseline. Exits with 1 if it has, in each of several attempts; with 2 on bad usage. `--update` takes a new baseline; `--plant` slows
 * the engine down, to show that the check fails then.
 */
import { execFile } from 'node:child_process';
import { copyFileSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { BASELINE, bundleEngine, CURRENT } from './bundle.ts';
import { judge, type Ratios, type Verdict } from './verdict.ts';

const ATTEMPT = fileURLToPath(new URL('attempt.js', import.meta.url));
const MOST_ATTEMPTS = 3;

/** Below this the engine's extra work would be on less than a page table (`planted`). */
const LEAST_PLANTED = 0.34;

const { update, plant } = readArguments();
await bundleEngine(CURRENT);
if (update) copyFileSync(CURRENT, BASELINE);
await guard();

async function guard(): Promise<void> {
  const attempts: Ratios[] = [];
  let verdicts: readonly Verdict[];
  do {
    attempts.push(await attempt());
    verdicts = judge(attempts);
  } while (verdicts.some(({ lost }) => lost) && attempts.length < MOST_ATTEMPTS);
  process.stdout.write(`${verdicts.map(describe).join('\n')}\n`);
  const lost = verdicts.filter((verdict) => verdict.lost).map(({ row }) => row);
  if (lost.length === 0) return;
  process.stdout.write(
    `more than 30 % slower, ${attempts.length} times out of ${attempts.length}: ${lost.join(', ')}\n`,
  );
  process.exitCode = 1;
}

async function attempt(): Promise<Ratios> {
  const { stdout } = await promisify(execFile)(process.execPath, [ATTEMPT, String(plant)]);
  return JSON.parse(stdout) as Ratios;
}

function describe({ row, best, lost }: Verdict): string {
  return `${row.padEnd(15)} ${best.toFixed(2)} of the baseline${lost ? '  LOST' : ''}`;
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
