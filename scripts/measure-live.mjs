/**
 * What exact watching costs a real guest: `node scripts/measure-live.mjs`, after `npm run build`. Prints a table of how long the guest
 * takes for a fixed amount of work with so many watched entries, by the host's clock, and how many stops a second it makes.
 */
import process from 'node:process';
import { findWorkloadRoot, launchGuest, openQemu, QmpClient } from '../dist/drivers/qemu/index.js';
import { openSession } from '../dist/session/index.js';

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

const guest = await launchGuest({ cpu: 'max,la57=off', smp: Number(process.argv[2] ?? 1) });
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

  // QEMU translates what the guest does when it does it first.
  await measure(0, 1);
  /** @type {number[] | undefined} */
  let base;
  process.stdout.write(
    `| entries | watchpoints | ${WORK.map((work) => `\`${work}\``).join(' | ')} | stops/s of a loop of faults on them |\n`,
  );
  process.stdout.write(`|---${'|---'.repeat(WORK.length + 2)}|\n`);
  for (const [count, stride] of PLANS) {
    const { watchpoints, medians, stopsPerSecond } = await measure(count, stride);
    base ??= medians;
    const ratios = medians.map((ms, at) => `${(ms / (base?.[at] ?? ms)).toFixed(2)} × (${ms.toFixed(0)} ms)`);
    const what = `${count}${stride === 2 ? ', every second page' : ''}`;
    process.stdout.write(`| ${what} | ${watchpoints} | ${ratios.join(' | ')} | ${stopsPerSecond.toFixed(0)} |\n`);
  }
} finally {
  await guest.stop();
}
