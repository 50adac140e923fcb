/**
 * `npm run fuzz:trace -- [--minutes N] [--seed S]`: reads damaged and hostile traces for N minutes (10 by default). `--replay SEED` reads
 * one again. Exits with 1 on failure, 2 on bad usage.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Random } from '../../../../src/testing/random.ts';
import { recordLife } from '../recorded-life.ts';
import { attempt } from './attempt.ts';
import { MUTATIONS } from './mutate.ts';

/** The smallest of a real guest; the program runs in the package's folder. */
const HUGE = 'traces/huge.trace';

/** A file that nothing has come of for so long hangs. */
const HANG_MS = 60_000;

interface Job {
  readonly folder: string;
  readonly seed: number;
  readonly untilMs: number;
}

interface Progress {
  readonly seed: number;
  readonly tried: number;
  readonly whole: number;
  readonly instants: number;
  readonly events: number;
}

const LIVES = [
  { seed: 1, steps: 30, vcpus: 2 },
  { seed: 2, steps: 30, vcpus: 1, mode: 'pae', selfMap: true },
  { seed: 3, steps: 20, vcpus: 1, mode: '32-bit' },
] as const;

if (isMainThread) await main();
else await work(workerData as Job);

async function work({ folder, seed: first, untilMs }: Job): Promise<void> {
  // A real guest's, and simulated ones whose writes trap before they are in memory.
  const bases = [HUGE, ...LIVES.map((_, index) => join(folder, `${index}.trace`))].map((each) => readFileSync(each));
  const [sums, path] = [{ tried: 0, whole: 0, instants: 0, events: 0 }, join(folder, 'damaged.trace')];
  for (let seed = first; seed === first || Date.now() < untilMs; seed++) {
    parentPort?.postMessage({ seed, ...sums } satisfies Progress);
    const { isWhole, instants, events } = await attempt(damaged(bases, seed), path);
    sums.tried++;
    sums.whole += Number(isWhole);
    sums.instants += instants;
    sums.events += events;
    parentPort?.postMessage({ seed, ...sums } satisfies Progress);
  }
}

function damaged(bases: readonly Buffer[], seed: number): Buffer {
  const random = new Random(seed);
  const mutations = Object.values(MUTATIONS);
  return mutations[seed % mutations.length]!(bases[random.below(bases.length)]!, random);
}

async function main(): Promise<void> {
  const { minutes, seed, replay } = readArguments();
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-fuzz-'));
  try {
    for (const [index, life] of LIVES.entries()) await recordLife(join(folder, `${index}.trace`), life);
    console.error(replay === undefined ? `fuzzing traces for ${minutes} min, seed ${seed}` : `trying seed ${replay}`);
    const untilMs = replay === undefined ? Date.now() + minutes * 60_000 : 0;
    const { failure, progress } = await runWorker({ folder, seed: replay ?? seed, untilMs });
    if (failure === undefined) {
      const { tried, whole, instants, events } = progress;
      console.log(`${tried} files, ${whole} of them whole, ${instants} instants, ${events} events: nothing found`);
    } else {
      console.log(`seed ${progress.seed}: ${failure}\nnpm run fuzz:trace -- --replay ${progress.seed}`);
      process.exitCode = 1;
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Runs in a thread of its own, which can be ended where it hangs. */
async function runWorker(job: Job): Promise<{ failure: string | undefined; progress: Progress }> {
  let progress: Progress = { seed: job.seed, tried: 0, whole: 0, instants: 0, events: 0 };
  let timer: NodeJS.Timeout | undefined;
  const worker = new Worker(new URL(import.meta.url), { workerData: job });
  try {
    const failure = await new Promise<string | undefined>((resolve) => {
      const watchdog = () => {
        clearTimeout(timer);
        timer = setTimeout(() => resolve(`nothing for ${HANG_MS / 1000} s: it hangs`), HANG_MS);
      };
      watchdog();
      worker.on('message', (message: Progress) => {
        progress = message;
        watchdog();
      });
      worker.on('error', (error) => resolve(describe(error)));
      worker.on('exit', (code) => resolve(code === 0 ? undefined : `the thread ended with ${code}`));
    });
    return { failure, progress };
  } finally {
    clearTimeout(timer);
    await worker.terminate();
  }
}

function describe(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return `${error.stack ?? error.message}${error.cause === undefined ? '' : `\ncaused by: ${describe(error.cause)}`}`;
}

function readArguments(): { minutes: number; seed: number; replay: number | undefined } {
  try {
    const { values } = parseArgs({
      options: { minutes: { type: 'string', default: '10' }, seed: { type: 'string' }, replay: { type: 'string' } },
    });
    const [minutes, seed] = [Number(values.minutes), Number(values.seed ?? Date.now() % 2 ** 31)];
    const replay = values.replay === undefined ? undefined : Number(values.replay);
    if (minutes > 0 && Number.isSafeInteger(seed) && (replay === undefined || Number.isSafeInteger(replay))) {
      return { minutes, seed, replay };
    }
  } catch {
    // Said below.
  }
  console.error('usage: npm run fuzz:trace -- [--minutes N] [--seed S] [--replay SEED]');
  process.exit(2);
}
