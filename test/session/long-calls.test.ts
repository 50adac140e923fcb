/** Long calls of a session in a process of its own: timers go on meanwhile, and a signal ends them (rules C8, C9). */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect, test } from 'vitest';

/** The built package, as a user imports it. */
const PTMON = new URL('../../dist/index.js', import.meta.url).href;

/**
 * A PML4 whose first 128 slots name itself. Says READY when the watch begins, and in the end what came of it; how many times a timer
 * fired, and the most processor time between two times and in all, in milliseconds; how many frames are read-only.
 */
const PROGRAM = `
import { openSession } from ${JSON.stringify(PTMON)};
const ROOT = 0x1000;
const readOnly = new Set();
let ticks = 0;
let longest = 0;
let since = process.cpuUsage();
setInterval(() => {
  const { user, system } = process.cpuUsage(since);
  since = process.cpuUsage();
  ticks++;
  longest = Math.max(longest, (user + system) / 1000);
  if (ticks === 3) console.log('READY');
}, 1).unref();
const abort = new AbortController();
process.once('SIGINT', () => abort.abort());
const driver = {
  name: 'knot',
  memory: {
    readEntry(pa, bytes, out) {
      out[0] = pa % 4096 < 1024 ? ROOT | 7 : 0;
      out[1] = 0;
      return 0;
    },
  },
  protection: {
    getAccess: (view, gfn) => (readOnly.has(gfn) ? 5 : 7),
    setAccess: (view, gfn, access) => void (access === 7 ? readOnly.delete(gfn) : readOnly.add(gfn)),
  },
  async *run() {
    yield [{ kind: 'missed', lost: null, reason: 'test' }];
  },
  close: async () => {},
};
const session = await openSession({ driver, paging: { mode: '4-level' }, signal: abort.signal });
let outcome = 'watched';
const begun = process.cpuUsage();
try {
  for (let round = 0; round < ROUNDS; round++) await session.watch({ root: ROOT, va: 0, byteLength: 2 ** 47, tag: round });
  await session.run();
} catch (error) {
  outcome = error.name;
}
const { user, system } = process.cpuUsage(begun);
const total = (user + system) / 1000;
console.log(JSON.stringify({ outcome, ticks, longest, total, tables: session.monitor.monitoredTables(), readOnly: readOnly.size }));
`;

interface Outcome {
  readonly outcome: string;
  readonly ticks: number;
  readonly longest: number;
  readonly total: number;
  readonly tables: number;
  readonly readOnly: number;
}

async function run(rounds: number, onReady: (kill: () => void) => void): Promise<Outcome> {
  const program = PROGRAM.replace('ROUNDS', String(rounds));
  const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (said === '' && text.startsWith('READY')) onReady(() => child.kill('SIGINT'));
    said += text;
  });
  await once(child, 'close');
  return JSON.parse(said.split('\n')[1]!) as Outcome;
}

test('timers go on while a knot of tables is watched and compared', async () => {
  const { outcome, ticks, longest, total, tables, readOnly } = await run(8, () => {});
  expect({ outcome, tables, readOnly }).toEqual({ outcome: 'watched', tables: 0, readOnly: 0 });
  expect(ticks).toBeGreaterThan(3);
  expect(longest).toBeLessThan(total / 2);
  expect(longest).toBeLessThan(150);
});

test('SIGINT ends a watch that would take minutes, and leaves nothing', async () => {
  const { outcome, tables, readOnly } = await run(1000, (kill) => kill());
  expect({ outcome, tables, readOnly }).toEqual({ outcome: 'AbortError', tables: 0, readOnly: 0 });
});
