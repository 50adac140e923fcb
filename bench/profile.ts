/**
 * `npm run profile -- ROW [--size 100k] [--engine ptmon|naive] [--ms 2000]`: runs one row of the benchmark, writes a CPU profile of
 * the timed part, and names the file. Exits with 2 on bad usage.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { parseArgs } from 'node:util';
import { ENGINES } from './engines.ts';
import { CpuProfiler } from './cpu-profiler.ts';
import { ROUND_WRITES, repeat } from './measure.ts';
import { type RateRow, ROWS, SIZE_NAMES } from './rows.ts';
import { World } from './world.ts';

const FOLDER = 'reports/profiles';
const HOTTEST = 12;

const { row, size, engine, forMs } = readArguments();
const layout = row.layouts[size] ?? usage(`row ${row.name} is not measured at ${size}`);
process.stderr.write(`building ${size}, warming up\n`);
const work = row.begin({
  world: new World(layout),
  makeEngine: ENGINES[engine],
  roundWrites: ROUND_WRITES,
  collects: true,
});
repeat(work, forMs / 4);

process.stderr.write(`profiling for ${forMs} ms\n`);
const profiler = new CpuProfiler();
const { operations, ms } = repeat(
  {
    prepare() {
      work.prepare();
      profiler.start();
    },
    run: () => work.run(),
    finish: () => profiler.stop(),
  },
  forMs,
);

const path = `${FOLDER}/${row.name}-${size}-${engine}.cpuprofile`;
mkdirSync(FOLDER, { recursive: true });
writeFileSync(path, JSON.stringify(profiler.profile));

const rate = ((operations / ms) * 1000) / 1e6;
const lines = profiler
  .hottest(HOTTEST)
  .map(({ name, share }) => `${`${(share * 100).toFixed(1)} %`.padStart(7)}  ${name}`);
process.stdout.write(`${row.title}, ${size}, ${engine}: ${rate.toFixed(2)} M/s under the profiler

${lines.join('\n')}

The share is of time in the function itself, without what it calls; lines are those of the compiled files.
Wrote ${path}. Open it in Chrome (DevTools, Performance, "Load profile…"), in VS Code (open the
file), or drop it on https://speedscope.app.
`);

function readArguments() {
  const text = { type: 'string' } as const;
  const { values, positionals } = parse();
  const rates = ROWS.filter((each): each is RateRow => each.unit === '/s');
  const row =
    rates.find(({ name }) => name === positionals[0]) ??
    usage(`name one row of ${rates.map(({ name }) => name).join(', ')}`);
  const size = SIZE_NAMES.find((name) => name === values.size) ?? usage(`no size ${values.size}`);
  const engine =
    (['ptmon', 'naive'] as const).find((name) => name === values.engine) ??
    usage(`no engine ${values.engine}; there are ptmon and naive`);
  const forMs = Number(values.ms);
  return forMs > 0 ? { row, size, engine, forMs } : usage(`--ms ${values.ms} is not a number of milliseconds`);

  function parse() {
    try {
      return parseArgs({
        allowPositionals: true,
        options: {
          size: { ...text, default: '100k' },
          engine: { ...text, default: 'ptmon' },
          ms: { ...text, default: '2000' },
        },
      });
    } catch (error) {
      return usage((error as Error).message);
    }
  }
}

function usage(fault: string): never {
  process.stderr.write(
    `profile: ${fault}\nusage: profile ROW [--size ${SIZE_NAMES.join('|')}] [--engine ptmon|naive] [--ms N]\n`,
  );
  process.exit(2);
}
