/**
 * What recording a real guest costs, and what comes of it: `node scripts/measure-traces.mjs`, after `npm run build`. Prints a table: the same
 * work of the guest watched exactly, without and with a recording, the size of the trace, and how long a replay of it takes.
 */
import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { findWorkloadRoot, launchGuest, openQemu, QmpClient } from '../dist/drivers/qemu/index.js';
import { openTrace, recordTrace } from '../dist/drivers/trace/index.js';
import { openSession } from '../dist/session/index.js';

const VA = 0x700000000000n;
const PAGE_COUNTS = [8, 512, 8192];
const ROUNDS = 400;

const folder = mkdtempSync(join(tmpdir(), 'ptmon-measure-'));
const path = join(folder, 'measured.trace');
const guest = await launchGuest({ cpu: 'max,la57=off' });
try {
  await guest.waitForReady();
  const qmp = await QmpClient.connect(guest.qmpPath);
  const root = await findWorkloadRoot(qmp, guest.workload);
  await qmp.close();

  /** Watches while the guest works. @param {number} pages @param {boolean} isRecorded */
  const watch = async (pages, isRecorded) => {
    const stop = new AbortController();
    const qemu = await openQemu({ qmp: guest.qmpPath, gdb: guest.gdbPath });
    const recorder = isRecorded ? { recorder: recordTrace(path) } : {};
    const session = await openSession({ driver: qemu, ...recorder, signal: stop.signal });
    await session.watch({ root, va: VA, byteLength: pages * 4096 });
    const running = session.run();
    const start = performance.now();
    await guest.workload.command(`loop fault ${ROUNDS} pages=8 at=0x${VA.toString(16)}`, { timeoutMs: 300_000 });
    const ms = performance.now() - start;
    stop.abort();
    await running;
    return { ms, writes: session.statistics().writes };
  };

  const replay = async () => {
    const start = performance.now();
    const session = await openSession({ ...openTrace(path) });
    await session.run();
    return performance.now() - start;
  };

  process.stdout.write('| watched pages | writes | recorded | bytes a write | replayed |\n|---|---|---|---|---|\n');
  for (const pages of PAGE_COUNTS) {
    await watch(pages, false);
    const plain = await watch(pages, false);
    const recorded = await watch(pages, true);
    const bytes = statSync(path).size / recorded.writes;
    await replay();
    const replayMs = await replay();
    process.stdout.write(
      `| ${pages} | ${recorded.writes} | ${(recorded.ms / plain.ms).toFixed(2)} × as long as without (${plain.ms.toFixed(0)} ms) ` +
        `| ${bytes.toFixed(1)} | ${(recorded.ms / replayMs).toFixed(1)} × as fast (${replayMs.toFixed(0)} ms) |\n`,
    );
  }
} finally {
  await guest.stop();
  rmSync(folder, { recursive: true, force: true });
}
