/**
 * `npm run fleet:simulate -- [AGENTS]`: the load of many agents (1000, if not given) on this machine. The lines of the recordings in
 * traces/, as if each agent watched one VM that does what a recording shows, go through a real broker into an archive. Prints what an event
 * costs. Needs nats-server, and a built ptmon.
 */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { answerHelp, countArgument } from './help.mjs';

answerHelp(import.meta.filename);

const MAIN = join(import.meta.dirname, '../dist/cli/main.js');
const TRACES = ['boot', 'fork', 'swap', 'tour'];
const PORT = 4599;
/** Lines of a recording that one agent has in its journal: a moment of its work. */
const LINES = 100;
const agents = countArgument('fleet:simulate', 1000);

/** Bytes below a folder. @param {string} folder */
function bytesOf(folder) {
  return readdirSync(folder, { recursive: true, encoding: 'utf8' })
    .map((name) => statSync(join(folder, name)))
    .reduce((sum, file) => sum + (file.isFile() ? file.size : 0), 0);
}

/** @param {string} what @param {number} count @param {number} startMs */
function say(what, count, startMs) {
  const seconds = (performance.now() - startMs) / 1000;
  process.stdout.write(`${what}: ${count} in ${seconds.toFixed(1)} s, ${Math.round(count / seconds)} a second\n`);
}

const folder = mkdtempSync(join(tmpdir(), 'ptmon-simulate-'));
/** @type {import('node:child_process').ChildProcess[]} */
const children = [];
/** @param {readonly string[]} command */
function start(command) {
  const child = spawn(command[0] ?? '', command.slice(1), { stdio: ['ignore', 'ignore', 'inherit'] });
  children.push(child);
  return child;
}

try {
  const recorded = TRACES.map((name) => {
    const options = { encoding: /** @type {const} */ ('utf8'), maxBuffer: 2 ** 28 };
    const args = [MAIN, 'replay', `traces/${name}.trace`, '--json', '--time'];
    return execFileSync(process.execPath, args, options).trimEnd().split('\n');
  });
  const journal = join(folder, 'journal');
  mkdirSync(journal);
  let [lines, events, bytes] = [0, 0, 0];
  for (let agent = 0; agent < agents; agent++) {
    const of = recorded[agent % recorded.length] ?? [];
    const own = of.slice(0, LINES);
    const facts = {
      host: `node-${agent}`,
      vm: 'vm',
      boot: 'b',
      session: `s-${agent}`,
      started: '2026-11-25T00:00:00.000Z',
    };
    const first = JSON.stringify({ v: 1, kind: 'segment', ...facts, number: 0, before: 0 });
    const text = `${first}\n${own.join('\n')}\n`;
    writeFileSync(join(journal, `vm.s-${agent}.00000000.jsonl`), text);
    lines += own.length;
    events += own.filter((line) => line.includes('"seq":')).length;
    bytes += text.length;
  }
  process.stdout.write(
    `${agents} agents, ${lines} lines, ${Math.round(bytes / lines)} bytes a line in their journals\n`,
  );

  writeFileSync(join(folder, 'nats.conf'), `listen: 127.0.0.1:${PORT}\njetstream { store_dir: ${folder}/store }\n`);
  start(['nats-server', '-c', join(folder, 'nats.conf')]);
  await sleep(1000);
  const broker = { servers: [`127.0.0.1:${PORT}`] };
  const policy = { version: 1, folder, rules: [{ vms: ['no-such-vm'] }], broker, fileSeconds: 1 };
  writeFileSync(join(folder, 'agent.json'), JSON.stringify(policy));
  let startMs = performance.now();
  const agent = start([process.execPath, MAIN, 'agent', '--config', join(folder, 'agent.json')]);
  while (readdirSync(journal).length > 0) await sleep(100);
  say('acknowledged publishes', lines, startMs);
  process.stdout.write(`in JetStream: ${Math.round(bytesOf(join(folder, 'store')) / lines)} bytes a line\n`);
  agent.kill('SIGTERM');

  mkdirSync(join(folder, 'archive'));
  writeFileSync(
    join(folder, 'archive.json'),
    JSON.stringify({ version: 1, folder: join(folder, 'archive'), broker, fileSeconds: 10 }),
  );
  startMs = performance.now();
  for (let archiver = 0; archiver < 2; archiver++)
    start([process.execPath, MAIN, 'archive', '--config', join(folder, 'archive.json')]);
  const sql = 'SELECT count(*) AS n, count(seq) AS events, count(DISTINCT host) AS hosts FROM events';
  const ask = () => {
    const args = [MAIN, 'query', '--from', join(folder, 'archive'), '--json', sql];
    const { stdout } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    return JSON.parse(stdout || '{"events":0}');
  };
  let rows = { n: 0, events: 0, hosts: 0 };
  while (rows.events < events) {
    await sleep(1000);
    rows = ask();
  }
  say('archived events', rows.events, startMs);
  const parquet = bytesOf(join(folder, 'archive'));
  process.stdout.write(
    `in the archive: ${rows.n} rows of ${rows.hosts} hosts, ${Math.round(parquet / rows.n)} bytes a row\n`,
  );
} finally {
  for (const child of children) child.kill('SIGKILL');
  await sleep(200);
  rmSync(folder, { recursive: true, force: true });
}
