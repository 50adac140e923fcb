/**
 * What exact watching costs a real guest: `node scripts/measure-live.mjs`, after `npm run build`. Prints a table of how long the guest
 * takes for a fixed amount of work with so many watched entries, by the host's clock, and how many stops a second it makes. Then another of
 * how many stops a second ptmon makes, and a bare socket with the same watchpoints (`bare-loop.mjs`), in turn; their ratio is what ptmon takes.
 *
 * `node scripts/measure-live.mjs [VCPUS] [ratio [PAGES …]]`: `ratio` prints the second table alone, for so many watched pages (256 by default).
 */
import process from 'node:process';
import { findWorkloadRoot, launchGuest, openQemu, QmpClient } from '../dist/drivers/qemu/index.js';
import { openSession } from '../dist/session/index.js';
import { bareStopsPerSecond } from './bare-loop.mjs';

const VA = 0x700000000000n;
/** How many pages, and how far apart. @type {[number, number][]} */
const PLANS = [
  [0, 1],
  ...[16, 256, 4096].flatMap(
    (count) =>
      /** @type {[number, number][]} */ ([
        [count, 1],
        [count, 2],
      ]),
  ),
];
const WORK = ['spin compute 300', 'spin memory 200', 'spin fault 8'];
const ROUNDS = 3;
/** Watched pages of which the ratio to the bare loop is measured. */
const RATIOS = process.argv.length > 4 ? process.argv.slice(4).map(Number) : [256];
const RATIO_ROUNDS = 5;
/** Loops of a round: thousands of stops, as a script that has just begun is not compiled yet. */
const LOOPS = 1000;
const ratioOnly = process.argv[3] === 'ratio';
/** Of the ranges of the second table: the loop maps pages half a stride further. */
const FAR = 0x600000000000n;
const FAR_STRIDE = 0x200000000n;

// The guest's kernel refuses to map more than it has.
const memoryMiB = 256 + Math.ceil(Math.max(...RATIOS) / 256);
const guest = await launchGuest({ cpu: 'max,la57=off', smp: Number(process.argv[2] ?? 1), memoryMiB });
try {
  await guest.waitForReady();
  const qmp = await QmpClient.connect(guest.qmpPath);
  const root = await findWorkloadRoot(qmp, guest.workload);
  await qmp.close();
  await guest.workload.command(`map 8192 small at=0x${VA.toString(16)}`);
  await guest.workload.command(`touch 0x${VA.toString(16)} 8192`);

  /** @param {string} command */
  const timed = async (command) => {
    const start = performance.now();
    await guest.workload.command(command, { timeoutMs: 300_000 });
    return performance.now() - start;
  };

  /**
   * Median times of the work, with `count` entries watched, `stride` pages apart.
   *
   * @param {number} count @param {number} stride
   */
  const measure = async (count, stride) => {
    const stop = new AbortController();
    const driver = await openQemu({ qmp: guest.qmpPath, gdb: guest.gdbPath });
    const session = await openSession({ driver, signal: stop.signal });
    for (let page = 0; page < count; page += 1) {
      await session.watch({ root, va: VA + BigInt(page * stride) * 4096n });
    }
    const running = session.run();
    const medians = [];
    for (const command of WORK) {
      const times = [];
      for (let round = 0; round < ROUNDS; round += 1) times.push(await timed(command));
      medians.push(times.sort((a, b) => a - b)[ROUNDS >> 1] ?? 0);
    }
    const { stops, watchpoints } = driver.statistics;
    const before = performance.now();
    const loopMs = await timed(`loop fault 500 pages=8 at=0x${VA.toString(16)} stride=0x4000000`);
    const stopsPerSecond = (driver.statistics.stops - stops) / ((performance.now() - before) / 1000);
    stop.abort();
    await running;
    return { watchpoints, medians, loopMs, stopsPerSecond };
  };

  /**
   * Stops a second of a loop on the first of `count` watched pages, by ptmon and by the bare loop; the medians of several rounds.
   *
   * @param {number} count @param {bigint} va
   */
  const compare = async (count, va) => {
    const at = `0x${va.toString(16)}`;
    await guest.workload.command(`map ${count} small at=${at}`);
    for (let page = 0; page < count; page += 65_536) {
      const from = va + BigInt(page) * 4096n;
      // The zero page: tables without memory behind them.
      await guest.workload.command(`read 0x${from.toString(16)} ${Math.min(65_536, count - page)}`);
    }
    const loop = () => timed(`loop fault ${LOOPS} pages=8 at=${at} stride=0x${FAR_STRIDE.toString(16)}`);
    const [ours, bare, ratios] = [[0], [0], [0]].map(() => /** @type {number[]} */ ([]));
    for (let round = 0; round < RATIO_ROUNDS; round += 1) {
      const stop = new AbortController();
      const driver = await openQemu({ qmp: guest.qmpPath, gdb: guest.gdbPath });
      const session = await openSession({ driver, signal: stop.signal });
      await session.watch({ root, va, byteLength: count * 4096 });
      const running = session.run();
      const seconds = (await loop()) / 1000;
      const rate = driver.statistics.stops / seconds;
      const watches = driver.listWatchpoints();
      stop.abort();
      await running;
      const bareRate = await bareStopsPerSecond(guest.gdbPath, watches, loop);
      ours?.push(rate);
      bare?.push(bareRate);
      ratios?.push(rate / bareRate);
    }
    const median = (/** @type {number[] | undefined} */ all = []) => all.sort((a, b) => a - b)[all.length >> 1] ?? 0;
    const cells = [count, median(ours).toFixed(0), median(bare).toFixed(0), median(ratios).toFixed(2)];
    process.stdout.write(`| ${cells.join(' | ')} |\n`);
  };

  // QEMU translates what the guest does when it does it first.
  await measure(0, 1);
  /** @type {number[] | undefined} */
  let base;
  process.stdout.write(
    `| entries | watchpoints | ${WORK.map((work) => `\`${work}\``).join(' | ')} | stops/s of a loop of faults on them |\n`,
  );
  process.stdout.write(`|---${'|---'.repeat(WORK.length + 2)}|\n`);
  for (const [count, stride] of ratioOnly ? [] : PLANS) {
    const { watchpoints, medians, stopsPerSecond } = await measure(count, stride);
    base ??= medians;
    const ratios = medians.map((ms, at) => `${(ms / (base?.[at] ?? ms)).toFixed(2)} × (${ms.toFixed(0)} ms)`);
    const what = `${count}${stride === 2 ? ', every second page' : ''}`;
    process.stdout.write(`| ${what} | ${watchpoints} | ${ratios.join(' | ')} | ${stopsPerSecond.toFixed(0)} |\n`);
  }
  process.stdout.write('\n| watched pages | stops/s | of a bare loop | ratio |\n|---|---|---|---|\n');
  for (const [at, count] of RATIOS.entries()) await compare(count, FAR + BigInt(at) * 2n * FAR_STRIDE);
} finally {
  await guest.stop();
}
