/**
 * `npm run measure:start -- [ROUNDS]`: measures the CPU that the command needs to start, in 40 rounds if not given. Exits with 1 if a limit
 * is broken (docs/decisions/0009-package.md).
 *
 * Each round starts `node -e 0` and every command once, so that other load on the machine affects all of them alike. The lowest value of
 * all rounds counts: other load only ever adds to it.
 */
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import process from 'node:process';
import { answerHelp, countArgument } from './help.mjs';
import { build, install } from './prepare.mjs';

answerHelp(import.meta.filename);
const ROUNDS = countArgument('measure:start', 40);
process.chdir(join(import.meta.dirname, '..'));
await install();
await build('src');

const MAIN = join('dist', 'cli', 'main.js');

/** What `node -e 0` takes on the machine that the limits are for. Where it takes longer, so does everything: limits grow alike. */
const NODE_MS = 40;

/** Limits are milliseconds of CPU above `node -e 0`, where that takes `NODE_MS`. The last three stop where they would read the first byte: their source does not exist. */
const STARTS = [
  { name: 'node -e 0', args: ['-e', '0'] },
  { name: 'ptmon --version', args: [MAIN, '--version'], limitMs: 40 },
  { name: 'ptmon --help', args: [MAIN, '--help'], limitMs: 40 },
  { name: 'ptmon map --help', args: [MAIN, 'map', '--help'], limitMs: 40 },
  { name: 'ptmon map DUMP', args: [MAIN, 'map', 'no-such-file'], limitMs: 80 },
  { name: 'ptmon translate DUMP VA', args: [MAIN, 'translate', 'no-such-file', '0x1000'], limitMs: 80 },
  {
    name: 'ptmon translate VA --qmp … --gdb …',
    args: [MAIN, 'translate', '0x1000', '--qmp', '/no/q', '--gdb', '/no/g'],
    limitMs: 80,
  },
];

/** Loaded before the program: at its end, writes the microseconds of CPU that the process has used to file descriptor 3. */
const REPORTER = `data:text/javascript,${encodeURIComponent(
  "import { writeSync } from 'node:fs';" +
    "process.on('exit', () => { const { user, system } = process.cpuUsage(); writeSync(3, String(user + system)); });",
)}`;

/** Milliseconds of CPU that one start takes. @param {readonly string[]} args @returns {Promise<number>} */
function cpuOf(args) {
  return new Promise((done, fail) => {
    const child = spawn(process.execPath, ['--import', REPORTER, ...args], {
      stdio: ['ignore', 'ignore', 'ignore', 'pipe'],
    });
    let text = '';
    child.stdio[3]?.on('data', (data) => (text += String(data)));
    child.on('error', fail);
    child.on('close', () => done(Number(text) / 1000));
  });
}

const lowest = STARTS.map(() => Infinity);
for (let round = 0; round < ROUNDS; round++) {
  for (const [at, { args }] of STARTS.entries()) lowest[at] = Math.min(lowest[at] ?? Infinity, await cpuOf(args));
}

const [node = NaN] = lowest;
const slowness = Math.max(1, node / NODE_MS);
process.stdout.write(
  `CPU of a start, the lowest of ${ROUNDS}\n${'command'.padEnd(36)}     ms  ratio  above node  limit\n`,
);
for (const [at, { name, limitMs }] of STARTS.entries()) {
  const ms = lowest[at] ?? NaN;
  const limit = limitMs === undefined ? Infinity : limitMs * slowness;
  const isBroken = ms - node > limit;
  if (isBroken) process.exitCode = 1;
  const above = limitMs === undefined ? '' : `${(ms - node).toFixed(1).padStart(9)}  ${limit.toFixed(0).padStart(5)}`;
  const line = `${name.padEnd(36)} ${ms.toFixed(1).padStart(6)}  ${(ms / node).toFixed(2).padStart(5)}  ${above}${isBroken ? '  BROKEN' : ''}`;
  process.stdout.write(`${line.trimEnd()}\n`);
}
