/**
 * `npm run fuzz:dump -- [--minutes N] [--format F] [--seed S]`: reads damaged dumps, of one format or of all, for N minutes (1 by default).
 * `--replay SEED --format F` reads one again and keeps its file. Exits with 1 on failure, 2 on bad usage.
 */
import { copyFileSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { programSeed } from '../../../oracle/random.ts';
import { attempt, type Outcome } from './attempt.ts';
import { FUZZED_FORMATS, type FuzzedFormat } from './bases.ts';

interface Job {
  readonly formats: readonly FuzzedFormat[];
  readonly runSeed: number;
  readonly untilMs: number;
  readonly path: string;
}

type Message = { readonly at: string } | { readonly counts: Counts } | { readonly failure: string };
type Counts = Readonly<Record<string, Readonly<Record<Outcome, number>>>>;

/** An attempt that has taken so long hangs. */
const HANG_MS = 60_000;

if (isMainThread) await main();
else await work(workerData as Job);

async function work({ formats, runSeed, untilMs, path }: Job): Promise<void> {
  const say = (message: Message) => parentPort?.postMessage(message);
  const counts = Object.fromEntries(formats.map((format) => [format, { opened: 0, refused: 0, 'failed later': 0 }]));
  for (let index = 0; Date.now() < untilMs; index++) {
    const format = formats[index % formats.length]!;
    const seed = programSeed(runSeed, index);
    if (index % 64 === 0) say({ counts });
    say({ at: `--format ${format} --replay ${seed}` });
    try {
      counts[format]![await attempt(format, seed, path)]++;
    } catch (error) {
      say({ failure: `--format ${format} --replay ${seed}: ${(error as Error).stack}` });
      return;
    }
  }
  say({ counts });
}

async function main(): Promise<void> {
  const { minutes, seed, format, replay } = readArguments();
  const formats = format === undefined ? FUZZED_FORMATS : [format as FuzzedFormat];
  const runSeed = seed === undefined ? Date.now() % 2 ** 31 : Number(seed);
  if (!FUZZED_FORMATS.includes(formats[0]!) || !(Number(minutes) > 0) || !Number.isInteger(runSeed)) usage();
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-fuzz-'));
  try {
    const path = join(folder, 'dump');
    if (replay !== undefined) await again(formats[0]!, Number(replay), path);
    else await run({ formats, runSeed, untilMs: Date.now() + Number(minutes) * 60_000, path });
  } catch (error) {
    console.error((error as Error).message);
    process.exitCode = 1;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function again(format: FuzzedFormat, seed: number, path: string): Promise<void> {
  try {
    console.log(`${format}: seed ${seed} is ${await attempt(format, seed, path)}`);
  } finally {
    const kept = join(tmpdir(), `ptmon-spoiled-${format}-${seed}`);
    copyFileSync(path, kept);
    console.log(`the file is ${kept}`);
  }
}

async function run(job: Job): Promise<void> {
  console.error(`fuzzing ${job.formats.join(', ')}, seed ${job.runSeed}`);
  const worker = new Worker(new URL(import.meta.url), { workerData: job });
  let [place, since, counts] = ['the start', Date.now(), {} as Counts];
  let failure: string | undefined;
  const watchdog = setInterval(() => {
    if (Date.now() - since < HANG_MS) return;
    failure = `hangs: ${place}`;
    void worker.terminate();
  }, 1000);
  worker.on('message', (message: Message) => {
    since = Date.now();
    if ('at' in message) place = message.at;
    else if ('counts' in message) counts = message.counts;
    else failure = message.failure;
  });
  worker.on('error', (error) => {
    failure = `${place}: ${error.stack}`;
  });
  await new Promise((resolve) => {
    worker.on('exit', resolve);
  });
  clearInterval(watchdog);
  for (const [format, { opened, refused, 'failed later': later }] of Object.entries(counts)) {
    console.log(
      `${format.padEnd(10)} ${opened + refused + later} files: ${refused} refused, ${later} failed later, ${opened} read`,
    );
  }
  if (failure !== undefined) throw new Error(failure);
}

function readArguments() {
  const text = { type: 'string' } as const;
  try {
    return parseArgs({ options: { minutes: { ...text, default: '1' }, seed: text, format: text, replay: text } })
      .values;
  } catch (error) {
    console.error((error as Error).message);
    return usage();
  }
}

function usage(): never {
  console.error(
    `usage: fuzz:dump [--minutes N] [--format ${FUZZED_FORMATS.join('|')}] [--seed S] [--replay FILE_SEED]`,
  );
  process.exit(2);
}
