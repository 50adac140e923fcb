/**
 * What watching by the plugin costs a real guest: `node scripts/measure-plugin.mjs [VCPUS]`, after `npm run build`. Two guests do the same work in
 * turn, one of a QEMU without the plugin; the figures are medians of the ratio of the other's processor time to its. Then the same for a loop of
 * faults on watched pages, and how many events of it ptmon processes.
 */
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { buildPlugin, findWorkloadRoot, launchGuest, openQemuPlugin, QmpClient } from '../dist/drivers/qemu/index.js';
import { openSession } from '../dist/session/index.js';

const VA = 0x700000000000n;
const LOOP = 0x600000000000n;
const WORK = ['spin compute 60', 'spin memory 60', 'spin fault 4'];
const ROUNDS = 3;
const smp = Number(process.argv[2] ?? 1);

const folder = mkdtempSync(join(tmpdir(), 'ptmon-plugin-'));
const file = join(folder, 'ptmon-plugin.so');
const plugin = join(folder, 'socket');
await buildPlugin(file);
const boot = (/** @type {string[]} */ extraArguments) => launchGuest({ cpu: 'max,la57=off', smp, extraArguments });
const [plain, watched] = await Promise.all([boot([]), boot(['-plugin', `${file},socket=${plugin}`])]);

/** @param {typeof plain} guest @param {string} command */
const timed = async (guest, command) => {
  const start = processorMs(guest.pid);
  await guest.workload.command(command, { timeoutMs: 300_000 });
  return processorMs(guest.pid) - start;
};
/** What QEMU has taken of the host's processors, whatever else they do: proc(5), `utime` and `stime`. @param {number} pid */
const processorMs = (pid) => {
  const [, fields = ''] = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ');
  return fields
    .split(' ')
    .slice(11, 13)
    .reduce((sum, ticks) => sum + Number(ticks) * 10, 0);
};
const median = (/** @type {number[]} */ all) => all.sort((a, b) => a - b)[all.length >> 1] ?? 0;

/** @param {string} name */
const compare = async (name) => {
  const cells = [];
  for (const command of WORK) {
    const ratios = [];
    // QEMU translates what the guest does when it does it first.
    for (const guest of [plain, watched]) await timed(guest, command);
    for (let round = 0; round < ROUNDS; round += 1) {
      const base = await timed(plain, command);
      ratios.push((await timed(watched, command)) / base);
    }
    cells.push(`${median(ratios).toFixed(2)} ×`);
  }
  process.stdout.write(`| ${name} | ${cells.join(' | ')} |\n`);
};

/** @param {'kernel' | 'all'} code @param {() => Promise<void>} work */
const watching = async (code, work) => {
  const stop = new AbortController();
  const driver = await openQemuPlugin({ qmp: watched.qmpPath, plugin, code });
  const session = await openSession({ driver, signal: stop.signal });
  for (const va of [VA, LOOP]) await session.watch({ root, va, byteLength: 4096 * 4096 });
  const running = session.run();
  await work();
  stop.abort();
  await running;
  return { driver, session };
};

/** @type {bigint} */
let root;
try {
  for (const guest of [plain, watched]) {
    await guest.waitForReady();
    await guest.workload.command(`map 4096 small at=0x${VA.toString(16)}`);
    await guest.workload.command(`touch 0x${VA.toString(16)} 4096`);
  }
  const qmp = await QmpClient.connect(watched.qmpPath);
  root = await findWorkloadRoot(qmp, watched.workload);
  await qmp.close();
  process.stdout.write(`| ${smp} vCPU | ${WORK.map((command) => `\`${command}\``).join(' | ')} |\n`);
  process.stdout.write(`|---${'|---'.repeat(WORK.length)}|\n`);
  await compare('the plugin is loaded, nobody watches');
  for (const code of /** @type {const} */ (['kernel', 'all']))
    await watching(code, () => compare(code === 'kernel' ? 'watching, stores of the kernel' : 'watching, all stores'));
  await compare('nobody watches any more');
  for (const code of /** @type {const} */ (['kernel', 'all'])) {
    const command = `loop fault 1000 pages=8 at=0x${LOOP.toString(16)} stride=0x10000 threads=${smp}`;
    const base = await timed(plain, command);
    let ms = 0;
    const start = performance.now();
    const { session } = await watching(code, async () => {
      ms = await timed(watched, command);
    });
    const seconds = (performance.now() - start) / 1000;
    const { counts, writes, lost } = session.statistics();
    const events = counts['page-in'] + counts['page-out'];
    process.stdout.write(
      `${code}: ${command}: ${(ms / base).toFixed(2)} ×, ${writes} writes, ${events} events in ${seconds.toFixed(1)} s, lost ${JSON.stringify(lost)}\n`,
    );
  }
} finally {
  await Promise.all([plain.stop(), watched.stop()]);
  rmSync(folder, { recursive: true });
}
