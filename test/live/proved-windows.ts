/** Compares what the kernel says of writes to tables with what a guest that counts them says (`countingRom`). */
import { spawnSync } from 'node:child_process';
import { release } from 'node:os';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';
import { openFollowedMemory } from '../../src/drivers/qemu/memory/followed-memory.ts';
import { WrittenTables } from '../../src/drivers/qemu/proof/index.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { BEGUN, DONE, ROOT } from './paging-rom.ts';

const COMPILER = 'cc';
const TABLES = [0, 1, 2, 3].map((table) => ROOT + table * 0x1000);

export interface WindowCounts {
  /** Times from one scan to the next, of one table each. */
  windows: number;
  /** Of these, in which it was said that nothing was written. */
  proved: number;
  /** Of these, in which the guest had written all the same. */
  false: number;
  /** In which it was said that something was written, and the guest had not. */
  alarms: number;
  /** In which the guest had written for sure. */
  written: number;
  scanMs: number;
}

/** Why this machine cannot prove anything: what the kernel or the user lacks. */
export function whyNoProof(): string | undefined {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  if (major < 6 || (major === 6 && minor < 7)) return `it takes Linux 6.7 or newer, and this is ${release()}`;
  if (process.getuid?.() !== 0) return 'it takes root';
  return spawnSync(COMPILER, ['--version']).status === 0
    ? undefined
    : 'it takes a C compiler; on Debian: apt-get install gcc libc6-dev';
}

/** @param address of the QMP socket of a guest that runs `countingRom` */
export async function countWindows(address: string, windows: number): Promise<WindowCounts> {
  const qmp = await QmpClient.connect(address);
  const memory = await openFollowedMemory({ qmp, guestRuns: true });
  const tables = await WrittenTables.open(qmp, memory);
  tables.onEnd = (why) => {
    throw new Error(why);
  };
  const numbers = async (pa: number) => {
    const bytes = Buffer.from((await memory.readBytes(pa, 4 * 8))!);
    return TABLES.map((_, table) => bytes.readBigUInt64LE(table * 8));
  };
  const counts: WindowCounts = { windows: 0, proved: 0, false: 0, alarms: 0, written: 0, scanMs: 0 };
  try {
    // The guest counts by now.
    while ((await numbers(DONE)).some((count) => count === 0n)) await sleep(5);
    await tables.fetch(TABLES);
    let doneBefore = await numbers(DONE);
    let begunAfter = await numbers(BEGUN);
    while (counts.windows < windows) {
      await sleep(Math.random() * 2);
      const doneNow = await numbers(DONE);
      const since = performance.now();
      const written = new Set(await tables.writtenFrames());
      counts.scanMs += performance.now() - since;
      await tables.fetch(TABLES);
      const begunNow = await numbers(BEGUN);
      for (const [table, pa] of TABLES.entries()) {
        const isSaid = written.has(pa / 0x1000);
        // One that was begun before the window may have been written before it.
        const hasWritten = doneNow[table]! > begunAfter[table]!;
        const hasNot = begunNow[table] === doneBefore[table];
        counts.windows++;
        if (!isSaid) counts.proved++;
        if (!isSaid && hasWritten) counts.false++;
        if (isSaid && hasNot) counts.alarms++;
        if (hasWritten) counts.written++;
      }
      begunAfter = begunNow;
      doneBefore = doneNow;
    }
    return counts;
  } finally {
    await tables.close();
    await memory.close();
    await qmp.close();
  }
}
