/**
 * `npm run bench -- [--json | --markdown] [--rows A,B] [--sizes 1k,100k,1m] [--runs N] [--engine ptmon|naive|both]
 * [--ms N] [--from FILE]`: measures every row in fresh processes, the two engines in turn. `--from` prints what `--json` wrote.
 *
 * `npm run bench -- --growth [--json | --markdown] [--rows A,B] [--runs N]`: measures how the time of a call grows with the number of
 * watched addresses or tables. Exits with 2 on bad usage.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import process from 'node:process';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import type { Figure, Task } from './child.ts';
import type { EngineName } from './engine.ts';
import { CLIFFS } from './growth/cliffs.ts';
import { measureGrowth } from './growth/measure.ts';
import { renderGrowth } from './growth/table.ts';
import { currentLoad, describeMachine } from './machine.ts';
import type { Report, Result } from './report.ts';
import { rowNamed, ROWS, type Row, SIZE_NAMES, type SizeName } from './rows.ts';
import { renderReport } from './tables.ts';

const CHILD = fileURLToPath(new URL('child.js', import.meta.url));
/** Room for a million addresses of the naive implementation, which needs more than a kilobyte for each. */
const HEAP_MIB = 6144;

interface Plan {
  readonly rows: readonly Row[];
  readonly sizes: readonly SizeName[];
  readonly engines: readonly EngineName[];
  readonly runs: number;
  readonly measureMs: number;
}

const { values } = readArguments();
if (values.growth) {
  process.stdout.write(growth());
  process.exit();
}
const report = values.from === undefined ? await measure(planOf()) : readReport(values.from);
if (values.json) process.stdout.write(`${JSON.stringify(report)}\n`);
else process.stdout.write(renderReport(report, values.markdown ? 'markdown' : 'text'));

async function measure({ rows, sizes, engines, runs, measureMs }: Plan): Promise<Report> {
  const loadBefore = currentLoad();
  const enginesOf = (row: Row) => (row.unit === '/s' && row.usesEngine === false ? engines.slice(0, 1) : engines);
  const results: Result[] = [];
  for (const size of sizes) {
    for (const row of rows.filter(({ layouts }) => layouts[size] !== undefined)) {
      process.stderr.write(`${size} ${row.name}\n`);
      const figures: Record<EngineName, Figure[]> = { ptmon: [], naive: [] };
      // In turn, so that a moment in which the machine is busy is shared.
      for (let run = 0; run < runs; run++) {
        for (const engine of enginesOf(row))
          figures[engine].push(await take({ row: row.name, size, engine, measureMs }));
      }
      for (const engine of enginesOf(row)) results.push({ row: row.name, size, engine, figures: figures[engine] });
    }
  }
  return { machine: describeMachine(loadBefore), measureMs, results };
}

function growth(): string {
  const names = CLIFFS.map(({ name }) => name);
  const rows = listOf(values.rows, names).map((name) => {
    return CLIFFS.find((cliff) => cliff.name === name) ?? usage(`no row ${name}; there are ${names.join(', ')}`);
  });
  const tries = Number(values.runs);
  if (!Number.isInteger(tries) || tries < 1) usage(`--runs ${values.runs} is not a positive integer`);
  const found = rows.map((row) => {
    process.stderr.write(`growth ${row.name}\n`);
    return measureGrowth(row, tries);
  });
  if (values.json) return `${JSON.stringify(found)}\n`;
  return renderGrowth(found, values.markdown ? 'markdown' : 'text');
}

async function take(task: Task): Promise<Figure> {
  const args = [`--max-old-space-size=${HEAP_MIB}`, CHILD, JSON.stringify(task)];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return JSON.parse(stdout) as Figure;
}

function readReport(path: string): Report {
  return JSON.parse(readFileSync(path, 'utf8')) as Report;
}

function planOf(): Plan {
  const [runs, measureMs] = [Number(values.runs), Number(values.ms)];
  if (!Number.isInteger(runs) || runs < 1) usage(`--runs ${values.runs} is not a number of processes`);
  if (!(measureMs > 0)) usage(`--ms ${values.ms} is not a number of milliseconds`);
  const sizes = listOf(values.sizes, SIZE_NAMES).map((name) => {
    return SIZE_NAMES.find((size) => size === name) ?? usage(`no size ${name}; there are ${SIZE_NAMES.join(', ')}`);
  });
  const names = ROWS.map((row) => row.name);
  const rows = listOf(values.rows, names).map((name) => {
    return names.includes(name) ? rowNamed(name) : usage(`no row ${name}; there are ${names.join(', ')}`);
  });
  return { rows, sizes, engines: enginesNamed(values.engine), runs, measureMs };
}

function enginesNamed(name: string): readonly EngineName[] {
  if (name === 'both') return ['ptmon', 'naive'];
  return name === 'ptmon' || name === 'naive' ? [name] : usage(`no engine ${name}; there are ptmon, naive and both`);
}

function listOf(text: string | undefined, all: readonly string[]): readonly string[] {
  return text === undefined ? all : text.split(',').map((name) => name.trim());
}

function readArguments() {
  const [text, flag] = [{ type: 'string' } as const, { type: 'boolean', default: false } as const];
  try {
    return parseArgs({
      options: {
        json: flag,
        markdown: flag,
        growth: flag,
        rows: text,
        sizes: text,
        runs: { ...text, default: '5' },
        engine: { ...text, default: 'both' },
        ms: { ...text, default: '500' },
        from: text,
      },
    });
  } catch (error) {
    return usage((error as Error).message);
  }
}

function usage(fault: string): never {
  process.stderr.write(
    `bench: ${fault}\nusage: bench [--json | --markdown] [--growth] [--rows A,B] [--sizes 1k,100k,1m] [--runs N] ` +
      '[--engine ptmon|naive|both] [--ms N] [--from FILE]\n',
  );
  process.exit(2);
}
