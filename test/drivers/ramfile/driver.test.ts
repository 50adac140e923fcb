/** The ramfile driver on real files that are written, truncated, removed and replaced under it. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import { READ_OK } from '../../../src/core/memory/physical-memory.ts';
import { openRamFile, type RamFileOptions, SamplingDriver } from '../../../src/drivers/ramfile/index.ts';
import { openSession } from '../../../src/session/index.ts';
import { temporaryFolder } from '../qemu/launch/temporary-folder.ts';
import { makeRamFile } from './ram-file-of.ts';

const [MIB, GIB] = [2 ** 20, 2 ** 30];

async function open(options: RamFileOptions): Promise<SamplingDriver> {
  const driver = await openRamFile(options);
  onTestFinished(() => driver.close());
  return driver;
}

const unavailable = (message: RegExp): unknown =>
  expect.objectContaining({ code: 'source-unavailable', message: expect.stringMatching(message) as string });

describe('opening', () => {
  test('takes a map as a list or as text', async () => {
    const ram = makeRamFile(2 * MIB);
    ram.writeEntry(MIB, 42n);
    for (const regions of ['0+1M@0,4G+1M@1M', [{ pa: 4 * GIB, byteLength: MIB, position: MIB }]]) {
      const driver = await open({ path: ram.path, regions });
      const out = new Uint32Array(2);
      expect(driver.memory.readEntry(4 * GIB, 8, out)).toBe(READ_OK);
      expect([...out]).toEqual([42, 0]);
      expect(driver.name).toBe('ramfile');
      expect(driver.registers).toBeUndefined();
    }
  });

  test('hands on registers that somebody else knows', async () => {
    const registers = { vcpuCount: 1, readRegisters: () => ({ cr0: 1n, cr3: 2n, cr4: 3n, efer: 4n }) };
    expect((await open({ path: makeRamFile(MIB).path, registers })).registers).toBe(registers);
  });

  test('refuses what is no RAM file', async () => {
    const folder = temporaryFolder();
    const ram = makeRamFile(MIB);
    await expect(openRamFile({ path: join(folder, 'none') })).rejects.toThrow(unavailable(/none does not exist/));
    await expect(openRamFile({ path: folder })).rejects.toThrow(unavailable(/is not a file/));
    await expect(openRamFile({ path: ram.path, regions: '0+2M@0' })).rejects.toThrow(
      unavailable(/is too small for its RAM regions: 2M expected, 1M there/),
    );
    const badArgument = expect.objectContaining({ code: 'bad-argument' });
    await expect(openRamFile({ path: ram.path, regions: 'all' })).rejects.toThrow(badArgument);
    await expect(openRamFile({ path: makeRamFile(6 * GIB).path })).rejects.toThrow(badArgument);
    await expect(openRamFile({ path: makeRamFile(5000).path })).rejects.toThrow(badArgument);
    for (const intervalMs of [-1, Number.NaN, 2 ** 31]) {
      await expect(openRamFile({ path: ram.path, intervalMs })).rejects.toThrow(badArgument);
      await expect(openRamFile({ path: ram.path, minIntervalMs: intervalMs })).rejects.toThrow(badArgument);
    }
    await expect(openRamFile({ path: ram.path, intervalMs: 5, minIntervalMs: 6 })).rejects.toThrow(badArgument);
  });
});

describe('sampling', () => {
  test('the first sample comes at once', async () => {
    const driver = await open({ path: makeRamFile(MIB).path, intervalMs: 10_000 });
    const begin = performance.now();
    for await (const _ of driver.run()) break;
    expect(performance.now() - begin).toBeLessThan(9000);
  });

  test('the others come at the interval, and it is measured', async () => {
    const driver = await open({ path: makeRamFile(MIB).path, intervalMs: 50 });
    expect(driver.sampling).toEqual({ intervalMs: 50, minIntervalMs: 50, samples: 0, achievedIntervalMs: null });
    const times: number[] = [];
    for await (const batch of driver.run()) {
      times.push(performance.now());
      expect(batch).toEqual([{ kind: 'missed', reason: 'sampled', lost: null }]);
      // A consumer that takes its time delays what follows.
      if (times.length === 5) await sleep(600);
      if (times.length === 8) break;
    }
    const gaps = times.slice(1).map((time, at) => time - times[at]!);
    expect(gaps[4]).toBeGreaterThan(590);
    const { samples, achievedIntervalMs } = driver.sampling;
    expect(samples).toBe(8);
    expect(achievedIntervalMs).toMatchObject({ count: 7 });
    const { max, mean } = achievedIntervalMs!;
    expect(Math.abs(max - Math.max(...gaps))).toBeLessThan(100);
    expect(Math.abs(mean - gaps.reduce((sum, gap) => sum + gap) / 7)).toBeLessThan(100);
    expect(mean).toBeGreaterThan(120);
  });

  test('comes sooner where samples find changes, unless the interval is fixed', async () => {
    const path = makeRamFile(MIB).path;
    const [adaptive, fixed] = [await open({ path }), await open({ path, intervalMs: 100 })];
    expect(adaptive.sampling).toMatchObject({ intervalMs: 100, minIntervalMs: 10 });
    expect(fixed.sampling).toMatchObject({ intervalMs: 100, minIntervalMs: 100 });
    const meanOf = async (driver: SamplingDriver) => {
      let samples = 0;
      for await (const _ of driver.run()) {
        driver.compared(1);
        if (++samples === 8) break;
      }
      return driver.sampling.achievedIntervalMs!.mean;
    };
    // Of both the timers are as late as the host is busy.
    expect(await meanOf(fixed)).toBeGreaterThan(99);
    expect(await meanOf(await open({ path, intervalMs: 2000, minIntervalMs: 0 }))).toBeLessThan(2000);
  });

  test('samples that were too late are not made up for, and time between runs is no interval', async () => {
    const driver = await open({ path: makeRamFile(MIB).path, intervalMs: 30 });
    for await (const _ of driver.run()) break;
    await sleep(1000);
    const begin = performance.now();
    let samples = 0;
    for await (const _ of driver.run()) {
      if (++samples === 1) await sleep(150);
      if (samples === 4) break;
    }
    expect(performance.now() - begin).toBeGreaterThan(150 + 2 * 30 - 5);
    expect(driver.sampling.achievedIntervalMs!.max).toBeLessThan(900);
  });

  test('sees what was written between samples, and nothing while a sample is looked at', async () => {
    const ram = makeRamFile(MIB);
    const driver = await open({ path: ram.path, intervalMs: 0 });
    const out = new Uint32Array(2);
    const seen: number[] = [];
    for await (const _ of driver.run()) {
      driver.memory.readEntry(0, 8, out);
      seen.push(out[0]!);
      ram.writeEntry(0, BigInt(seen.length));
      driver.memory.readEntry(0, 8, out);
      expect(out[0]).toBe(seen.at(-1));
      if (seen.length === 20) break;
    }
    expect(seen).toEqual(Array.from({ length: 20 }, (_, at) => at));
  });

  test('a session finds a page that came between the watch and the run, and one that went later', async () => {
    const ram = makeRamFile(MIB);
    const va = 0xffff_8000_0000_1000n;
    for (const [table, slot, entry] of [
      [0x1000, 256, 0x2063n],
      [0x2000, 0, 0x3063n],
      [0x3000, 0, 0x4063n],
    ] as const) {
      ram.writeEntry(table + slot * 8, entry);
    }
    const driver = await open({ path: ram.path, intervalMs: 5 });
    await expect(openSession({ driver: await open({ path: ram.path }) })).rejects.toThrow(/paging mode must be given/);
    await using session = await openSession({ driver, paging: { mode: '4-level' } });
    await session.watch({ root: 0x1000, va });
    ram.writeEntry(0x4008, 0x5063n);
    const events: unknown[] = [];
    for await (const { kind, ...event } of session) {
      events.push([kind, 'pa' in event ? event.pa : undefined]);
      if (kind === 'page-out') break;
      ram.writeEntry(0x4008, 0n);
    }
    expect(events).toEqual([
      ['page-in', 0x5000],
      ['page-out', 0x5000],
    ]);
  });
});

describe('a source that goes away', () => {
  const faults: [name: string, harm: (path: string, truncate: (to: number) => void) => void, message: RegExp][] = [
    [
      'is truncated',
      (_, truncate) => truncate(MIB / 2),
      /truncated while it was watched: 1048576 bytes expected, 524288/,
    ],
    ['is removed', (path) => rmSync(path), /ram was removed/],
    [
      'is replaced',
      (path) => {
        const other = join(dirname(path), 'other');
        writeFileSync(other, new Uint8Array(MIB));
        renameSync(other, path);
      },
      /ram was replaced by another file while it was watched/,
    ],
    [
      'becomes a folder',
      (path) => {
        rmSync(path);
        mkdirSync(path);
      },
      /ram was replaced/,
    ],
  ];

  test.each(faults)('ends the run when it %s', async (_name, harm, message) => {
    const ram = makeRamFile(MIB);
    const driver = await open({ path: ram.path, intervalMs: 1 });
    let samples = 0;
    const run = (async () => {
      for await (const _ of driver.run()) if (++samples === 3) harm(ram.path, ram.truncate);
    })();
    await expect(run).rejects.toThrow(unavailable(message));
    expect(samples).toBe(3);
  });

  test('a read beyond the end says the same', async () => {
    const ram = makeRamFile(MIB);
    const driver = await open({ path: ram.path });
    ram.truncate(4096);
    expect(() => driver.memory.readEntry(8192, 8, new Uint32Array(2))).toThrow(
      unavailable(/truncated while it was watched: 1048576 bytes expected, 4096 there/),
    );
  });

  test('closing never fails, and closes the file', async () => {
    let closed = 0;
    const driver = new SamplingDriver({
      name: 'broken',
      source: {
        memory: { readEntry: () => READ_OK },
        clear: () => {},
        close: () => {
          closed++;
          throw new Error('it does not close');
        },
      },
    });
    await Promise.all([driver.close(), driver.close()]);
    expect(closed).toBe(1);
    await expect(driver.run().next()).rejects.toThrow(expect.objectContaining({ code: 'closed' }));
  });
});
