/**
 * What it costs to know a guest's Linux: `node scripts/measure-linux.mjs [KERNEL]`, after `npm run build`. Boots the guest, and prints how
 * long it takes to find its kernel, to list processes and memory, and what watching processes adds to a stop.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { launchGuest, openQemu } from '../dist/drivers/qemu/index.js';
import { kernelCache, openLinux, ProcessWatch } from '../dist/linux/index.js';
import { openSession } from '../dist/session/index.js';

const [kernel] = process.argv.slice(2);
const folder = mkdtempSync(join(tmpdir(), 'ptmon-measure-'));
const guest = await launchGuest({ cpu: 'max', ...(kernel === undefined ? {} : { kernel }) });

/** @template T @param {string} what @param {() => Promise<T>} work */
async function timed(what, work) {
  const start = performance.now();
  const result = await work();
  process.stdout.write(`| ${what} | ${(performance.now() - start).toFixed(0)} ms |\n`);
  return result;
}

try {
  const { release, pid } = await guest.waitForReady();
  process.stdout.write(`Linux ${release}\n\n| what | time |\n|---|---|\n`);
  const driver = await openQemu({ qmp: guest.qmpPath, gdb: guest.gdbPath });
  const cache = kernelCache(folder);
  await timed('find the kernel, looked through', () => openLinux(driver, { cache }));
  const linux = await timed('find it again, remembered', () => openLinux(driver, { cache }));
  const { processes } = await timed('all processes', () => linux.processes());
  await timed('the memory of one', () => linux.map(pid));
  await timed('the swap devices', () => linux.swapDevices());

  const over = new AbortController();
  const system = new ProcessWatch({
    linux,
    selection: { by: { command: 'storm' } },
    isExact: true,
    vcpuCount: 1,
  });
  const session = await openSession({ driver, system, kinds: ['root-gone'], signal: over.signal });
  await system.begin(session);
  const storm = 100;
  const work = guest.workload.command(`storm ${storm} parallel=4`, { timeoutMs: 300_000 }).finally(() => over.abort());
  await timed(`${storm} processes that come and go, of ${processes.length}`, () => session.run());
  await work;
  const { stops, runningMs, stoppedMs, watchpoints } = driver.statistics;
  process.stdout.write(
    `\n${(stops / storm).toFixed(0)} stops for each, ${(stoppedMs / stops).toFixed(2)} ms stopped at each, ` +
      `${((100 * stoppedMs) / (stoppedMs + runningMs)).toFixed(0)} % of the time; ${watchpoints} watchpoints between two\n`,
  );
} finally {
  await guest.stop();
  rmSync(folder, { recursive: true, force: true });
}
