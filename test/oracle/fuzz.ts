/**
 * `npm run fuzz -- [--minutes N] [--seed S] [--mode M] [--jobs J] [--fast-path on|off]`: runs random programs beside the oracle for N
 * minutes (1 by default), on every core. Without --fast-path, every other program runs without the fast path. One in seven is followed by
 * a program of hostile tables. `--replay SEED --mode M` runs the programs of a seed again. Exits with 1 on failure, 2 on bad usage.
 */
import { availableParallelism } from 'node:os';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import type { PagingModeName } from '../../src/core/paging/modes.ts';
import { ENGINE_NAMES, ENGINES, type EngineName } from './engine.ts';
import { hostileFailure } from './hostile.ts';
import { type Counts, describeFailure, type Failure, MODES, noCounts, type ProofName, proveSeed } from './prove.ts';
import { programSeed } from './random.ts';

interface Job {
  readonly runSeed: number;
  readonly job: number;
  readonly jobs: number;
  readonly modes: readonly PagingModeName[];
  /** Undefined for all of them in turn. */
  readonly engine: EngineName | undefined;
  readonly untilMs: number;
}

/** What a thread says: that it begins a program, that it has gone through some, or that one fails. */
type Message =
  | { readonly at: { readonly mode: PagingModeName; readonly seed: number } }
  | { readonly counts: Readonly<Record<string, Counts>> }
  | { readonly failure: Failure }
  /** A program of hostile tables that fails, in words. */
  | { readonly hostile: string };

/** One in so many programs is of hostile tables as well, which are more work. Odd, so that every mode and engine gets some. */
const HOSTILE_SHARE = 7;

/** A thread that has been in one program for so long hangs. */
const HANG_MS = 120_000;

/** Most programs run once beside the oracle, because that finds most for the time; one in ten is put to all proofs. */
const proofsOf = (index: number): readonly ProofName[] =>
  index % 10 === 0 ? ['once', 'again', 'remote', 'faults'] : index % 5 === 1 ? ['once', 'remote'] : ['once'];

if (isMainThread) await main();
else work(workerData as Job);

function work({ runSeed, job, jobs, modes, engine, untilMs }: Job): void {
  const say = (message: Message) => parentPort?.postMessage(message);
  const counts = Object.fromEntries(modes.map((mode) => [mode, noCounts()]));
  const hostile = { programs: 0, calls: 0, reads: 0, limited: 0 };
  for (let index = job; Date.now() < untilMs; index += jobs) {
    const mode = modes[index % modes.length]!;
    const seed = programSeed(runSeed, index);
    say({ at: { mode, seed } });
    // With the fast path and without it, in turn.
    const name = engine ?? ENGINE_NAMES[Math.floor(index / modes.length) % ENGINE_NAMES.length]!;
    const proofs = proofsOf(Math.floor(index / modes.length / ENGINE_NAMES.length));
    const failure = proveSeed({ mode, seed }, proofs, ENGINES[name], counts[mode]!);
    if (failure !== undefined) return say({ failure: { ...failure, message: `${failure.message}\n${name}` } });
    if (index % HOSTILE_SHARE === 0) {
      const message = hostileFailure(mode, seed, ENGINES[name], hostile);
      if (message !== undefined) return say({ hostile: `${message}\n${name}` });
    }
    say({ counts });
  }
}

async function main(): Promise<void> {
  const { values } = readArguments();
  const modes = values.mode === undefined ? MODES : [values.mode as PagingModeName];
  const [minutes, jobs] = [Number(values.minutes), Number(values.jobs ?? availableParallelism())];
  const runSeed = values.seed === undefined ? Date.now() % 2 ** 31 : Number(values.seed);
  if (!MODES.includes(modes[0]!) || !(minutes > 0) || !(jobs >= 1) || !Number.isInteger(runSeed)) usage();
  if (values.replay !== undefined) return replay(modes, Number(values.replay));

  console.error(`fuzzing ${modes.join(', ')} for ${minutes} min on ${jobs} threads, seed ${runSeed}`);
  const untilMs = Date.now() + minutes * 60_000;
  const engine = engineNamed(values['fast-path']);
  const runs = Array.from({ length: jobs }, (_, job) => runThread({ runSeed, job, jobs, modes, engine, untilMs }));
  try {
    const results = await Promise.all(runs.map(({ result }) => result));
    printCounts(modes, results);
  } catch (error) {
    console.error(`\nrun seed ${runSeed}: ${(error as Error).message}`);
    process.exitCode = 1;
    await Promise.all(runs.map(({ worker }) => worker.terminate()));
  }
}

function replay(modes: readonly PagingModeName[], seed: number): void {
  for (const mode of modes) {
    for (const name of ENGINE_NAMES) {
      const failure = proveSeed({ mode, seed }, ['once', 'again', 'remote', 'faults'], ENGINES[name], noCounts());
      console.log(failure === undefined ? `${mode}, ${name}: seed ${seed} passes` : describeFailure(failure));
      const counts = { programs: 0, calls: 0, reads: 0, limited: 0 };
      const hostile = hostileFailure(mode, seed, ENGINES[name], counts);
      console.log(hostile ?? `${mode}, ${name}: hostile tables of seed ${seed} pass`);
      if (failure !== undefined || hostile !== undefined) process.exitCode = 1;
    }
  }
}

function runThread(job: Job): { readonly worker: Worker; readonly result: Promise<Readonly<Record<string, Counts>>> } {
  const worker = new Worker(new URL(import.meta.url), { workerData: job });
  const result = new Promise<Readonly<Record<string, Counts>>>((resolve, reject) => {
    let counts: Readonly<Record<string, Counts>> = {};
    let [place, since] = ['the start', Date.now()];
    const watchdog = setInterval(() => {
      if (Date.now() - since > HANG_MS) reject(new Error(`hangs in ${place}`));
    }, 1000);
    worker.on('message', (message: Message) => {
      since = Date.now();
      if ('at' in message) place = `mode ${message.at.mode}, seed ${message.at.seed}`;
      else if ('counts' in message) counts = message.counts;
      else reject(new Error('failure' in message ? describeFailure(message.failure) : message.hostile));
    });
    worker.on('error', (error) => reject(new Error(`${place}: ${error.stack}`)));
    worker.on('exit', () => {
      clearInterval(watchdog);
      resolve(counts);
    });
  });
  return { worker, result };
}

function printCounts(modes: readonly string[], results: readonly Readonly<Record<string, Counts>>[]): void {
  console.log(['mode', 'programs', 'ops', 'events', 'faults'].map((name) => name.padStart(11)).join(''));
  for (const mode of modes) {
    const sum = (field: keyof Counts) => results.reduce((total, counts) => total + (counts[mode]?.[field] ?? 0), 0);
    const row = [mode, sum('programs'), sum('ops'), sum('events'), sum('faults')];
    console.log(row.map((cell) => String(cell).padStart(11)).join(''));
  }
}

function engineNamed(fastPath: string | undefined): EngineName | undefined {
  if (fastPath === undefined) return undefined;
  if (fastPath !== 'on' && fastPath !== 'off') return usage();
  return fastPath === 'on' ? 'with the fast path' : 'without the fast path';
}

function readArguments() {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({
      options: {
        minutes: { ...text, default: '1' },
        seed: text,
        mode: text,
        jobs: text,
        replay: text,
        'fast-path': text,
      },
    });
  } catch (error) {
    console.error((error as Error).message);
    return usage();
  }
}

function usage(): never {
  console.error(
    `usage: fuzz [--minutes N] [--seed S] [--mode ${MODES.join('|')}] [--jobs J] [--fast-path on|off] [--replay PROGRAM_SEED]`,
  );
  process.exit(2);
}
