/** The protocols of a real QEMU: what the tests on servers of our own take for granted. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { PtmonError } from '../../src/core/error.ts';
import { GDB_SIGNAL, GdbClient, type GdbOptions } from '../../src/drivers/qemu/gdb/index.ts';
import { QmpClient, type QmpOptions, qmpRefusalOf } from '../../src/drivers/qemu/qmp/index.ts';
import { temporaryFolder } from '../drivers/qemu/transport/peer.ts';
import { hasQemu, startFirmware } from './firmware-guest.ts';

/** The BIOS data area's count of timer ticks: the firmware adds one to it 18 times a second, for as long as it runs. */
const TICKS = { va: 0x46cn, byteLength: 4 };

const COUNT = { va: 0x500n, byteLength: 2 };

/** The file of a firmware that adds one to `COUNT` for ever. */
function countingFirmware(): string {
  const rom = Buffer.alloc(0x1_0000);
  // xor ax, ax; mov ds, ax; inc word [0x500]; jmp to the inc
  rom.set([0x31, 0xc0, 0x8e, 0xd8, 0xff, 0x06, 0x00, 0x05, 0xeb, 0xfa], 0xff00);
  // Where a processor begins: jmp to the xor.
  rom.set([0xe9, 0x0d, 0xff], 0xfff0);
  const file = join(temporaryFolder(), 'firmware');
  writeFileSync(file, rom);
  return file;
}

/** Shorter than anyone would wait, longer than QEMU takes on a busy machine. */
const SHORT_MS = 1500;

async function connectQmp(address: string, options?: QmpOptions): Promise<QmpClient> {
  const client = await QmpClient.connect(address, options);
  onTestFinished(() => client.close());
  return client;
}

async function connectGdb(address: string, options?: GdbOptions): Promise<GdbClient> {
  const client = await GdbClient.connect(address, options);
  onTestFinished(() => client.close());
  return client;
}

async function statusOf(qmp: QmpClient): Promise<string> {
  return ((await qmp.execute('query-status')) as { status: string }).status;
}

/** Reads the count as the monitor prints it: `000000000000046c: 0x00000012`. */
async function ticksOf(qmp: QmpClient): Promise<number> {
  return Number((await qmp.humanMonitor('xp /1xw 0x46c')).trim().split(': ')[1]);
}

/** The guest runs, and nothing stops it. */
async function expectToRun(qmp: QmpClient): Promise<void> {
  const before = await ticksOf(qmp);
  await expect.poll(() => ticksOf(qmp), { timeout: 20_000, interval: 50 }).toBeGreaterThan(before + 3);
  expect(await statusOf(qmp)).toBe('running');
}

/** Lets the firmware start, until it counts. */
async function startTicking(gdb: GdbClient): Promise<void> {
  await gdb.setWriteWatches([TICKS]);
  for (let ticks = 0; ticks < 3; ) {
    expect(await gdb.continue()).toMatchObject({ signal: GDB_SIGNAL.trap, watch: { access: 'write', va: TICKS.va } });
    ticks = new DataView((await gdb.readPhysical(0x46c, 4)).buffer).getUint32(0, true);
  }
}

const isHere = hasQemu('test/live/qemu-protocols, the protocols of a real QEMU');

describe.skipIf(!isHere)('QMP of a real QEMU', { timeout: 60_000 }, () => {
  test.each(['unix', 'tcp'] as const)('greets, answers, refuses, prints and tells, over %s', async (kind) => {
    const guest = await startFirmware(kind);
    const events: string[] = [];
    const qmp = await connectQmp(guest.qmp, { onEvent: ({ name }) => events.push(name) });
    expect(qmp.greeting.version[0]).toBeGreaterThanOrEqual(6);
    expect(await statusOf(qmp)).toBe('prelaunch');
    const refused: unknown = await qmp.execute('no-such-command').catch((error: unknown) => error);
    expect(qmpRefusalOf(refused)).toMatchObject({ class: 'CommandNotFound' });
    expect(await qmp.humanMonitor('info mtree -f')).toMatch(/ram/);
    expect(await qmp.humanMonitor('nonsense')).toMatch(/unknown command/);
    const many = await Promise.all(Array.from({ length: 50 }, (_, at) => qmp.humanMonitor(`print ${at}`)));
    expect(many.map((printed) => Number(printed))).toEqual(Array.from({ length: 50 }, (_, at) => at));
    await qmp.execute('cont');
    await qmp.execute('stop');
    await expect.poll(() => events).toEqual(['RESUME', 'STOP']);
  });

  test('serves one client: a second is told so', async () => {
    const guest = await startFirmware();
    await connectQmp(guest.qmp);
    await expect(QmpClient.connect(guest.qmp, { timeoutMs: SHORT_MS })).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringMatching(/QEMU serves one QMP client at a time/) as string,
    });
  });

  test('that ends is told, to what waits and to what comes', async () => {
    const guest = await startFirmware();
    const losses: PtmonError[] = [];
    const qmp = await connectQmp(guest.qmp, { onLost: (error) => losses.push(error) });
    guest.process.kill('SIGKILL');
    await expect.poll(() => losses.length).toBe(1);
    await expect(qmp.execute('query-status')).rejects.toMatchObject({ code: 'source-unavailable' });
  });

  test('is not what a gdbstub speaks, and a gdbstub not what QMP speaks', async () => {
    const guest = await startFirmware();
    await expect(QmpClient.connect(guest.gdb, { timeoutMs: SHORT_MS })).rejects.toThrow(
      /is a gdbstub, not a QMP socket/,
    );
    await expect(GdbClient.connect(guest.qmp, { timeoutMs: SHORT_MS })).rejects.toMatchObject({
      code: 'corrupt-input',
      message: expect.stringMatching(/does not speak the GDB remote protocol: it sent "\{"QMP"/) as string,
    });
  });
});

describe.skipIf(!isHere)('the gdbstub of a real QEMU', { timeout: 60_000 }, () => {
  test.each(['unix', 'tcp'] as const)('shows its processors and their registers, over %s', async (kind) => {
    const guest = await startFirmware(kind, ['-smp', '2']);
    const gdb = await connectGdb(guest.gdb);
    expect(gdb.features.offered).toContain('qXfer:features:read');
    const threads = await gdb.threads();
    expect(threads).toEqual([
      { pid: 1, tid: 1 },
      { pid: 1, tid: 2 },
    ]);
    for (const thread of threads) {
      const registers = await gdb.readRegisters(thread);
      // The state after a reset: Intel SDM vol. 3, 10.1.
      expect(registers).toMatchObject({ cr0: 0x6000_0010n, cr3: 0n, cr4: 0n, efer: 0n });
      expect(registers.values.get('rip')).toBe(0xfff0n);
      expect(registers.values.get('eflags')).toBe(2n);
    }
    await expect(gdb.readRegisters({ pid: 1, tid: 3 })).rejects.toMatchObject({ code: 'source-unavailable' });
    expect(await gdb.readRegisters()).toMatchObject({ cr0: 0x6000_0010n });
  });

  test('reads physical memory as QEMU saves it', async () => {
    const guest = await startFirmware();
    const [qmp, gdb] = [await connectQmp(guest.qmp), await connectGdb(guest.gdb)];
    const file = join(temporaryFolder(), 'rom');
    const [pa, byteLength] = [0xf_0000, 0x1_0000];
    await qmp.execute('pmemsave', { val: pa, size: byteLength, filename: file });
    const expected = readFileSync(file);
    expect(expected.some((byte) => byte !== 0)).toBe(true);
    expect(Buffer.from(await gdb.readPhysical(pa, byteLength)).equals(expected)).toBe(true);
    // Paging is off, so that virtual addresses are physical ones.
    expect(Buffer.from(await gdb.readVirtual(BigInt(pa) + 5n, 3000)).equals(expected.subarray(5, 3005))).toBe(true);
    const pieces = await gdb.readPhysicalRanges([
      { pa: pa + 4096, byteLength: 8 },
      { pa, byteLength: 4096 },
    ]);
    expect(
      Buffer.concat(pieces).equals(Buffer.concat([expected.subarray(4096, 4104), expected.subarray(0, 4096)])),
    ).toBe(true);
  });

  test('sets and clears any number of watchpoints', async () => {
    const guest = await startFirmware();
    const gdb = await connectGdb(guest.gdb);
    const watches = Array.from({ length: 4096 }, (_, at) => ({
      va: 0xffff_8880_0000_0000n + BigInt(at) * 8n,
      byteLength: 8,
    }));
    expect(await gdb.setWriteWatches(watches)).toEqual([]);
    expect(await gdb.setWriteWatches([...watches, { va: 1n, byteLength: 0 }])).toEqual([{ va: 1n, byteLength: 0 }]);
    expect(await gdb.clearWriteWatches(watches)).toEqual([]);
    expect(gdb.writeWatchCount).toBe(0);
  });

  test('stops after every write to a watched address, with the write in memory', async () => {
    const guest = await startFirmware('unix', ['-smp', '2']);
    const [qmp, gdb] = [await connectQmp(guest.qmp), await connectGdb(guest.gdb)];
    await startTicking(gdb);
    for (let round = 0; round < 5; round++) {
      const before = await ticksOf(qmp);
      expect(await gdb.continue()).toMatchObject({ thread: { pid: 1 }, watch: { access: 'write', va: TICKS.va } });
      expect(await ticksOf(qmp)).toBe(before + 1);
      expect(await statusOf(qmp)).toBe('debug');
    }
    await gdb.detach();
    await expectToRun(qmp);
  });

  test('stops once for each write, and an interrupt that races with a stop costs nothing', async () => {
    const guest = await startFirmware('unix', ['-bios', countingFirmware()]);
    const gdb = await connectGdb(guest.gdb);
    await gdb.setWriteWatches([COUNT]);
    let count = 0;
    let wasHit = true;
    for (let round = 0; round < 300; round++) {
      // Some are aborted before, some during, some after the stop.
      const controller = new AbortController();
      if (round % 2 === 1) setTimeout(() => controller.abort(), Math.random());
      if (round % 10 === 2) controller.abort();
      const stop = await gdb.continue({ signal: controller.signal });
      const bytes = await gdb.readPhysical(Number(COUNT.va), COUNT.byteLength);
      const now = new DataView(bytes.buffer).getUint16(0, true);
      const isHit = stop.kind === 'stopped' && stop.watch?.va === COUNT.va;
      expect([round, stop]).toEqual([
        round,
        expect.objectContaining({ signal: isHit ? GDB_SIGNAL.trap : GDB_SIGNAL.int }),
      ]);
      // An interrupt may come between a write and the stop for it; two writes may not.
      expect(isHit && wasHit ? [count + 1] : [count, count + 1], `round ${round}`).toContain(now);
      wasHit = isHit;
      count = now;
    }
    expect(count).toBeGreaterThan(100);
  });

  test('stops for an interrupt and for a pause by QMP, and goes on', async () => {
    const guest = await startFirmware();
    const [qmp, gdb] = [await connectQmp(guest.qmp), await connectGdb(guest.gdb)];
    for (let round = 0; round < 5; round++) {
      const stop = await gdb.continue({ signal: AbortSignal.timeout(20) });
      expect(stop).toMatchObject({ kind: 'stopped', signal: GDB_SIGNAL.int });
    }
    expect(await gdb.continue({ signal: AbortSignal.abort() })).toMatchObject({ signal: GDB_SIGNAL.int });
    const stopped = gdb.continue();
    await expect.poll(() => statusOf(qmp)).toBe('running');
    await qmp.execute('stop');
    expect(await stopped).toMatchObject({ signal: GDB_SIGNAL.int });
  });

  test('serves one client: a second is told so, and what it does harms nobody', async () => {
    const guest = await startFirmware();
    const gdb = await connectGdb(guest.gdb);
    await expect(GdbClient.connect(guest.gdb, { timeoutMs: SHORT_MS })).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringMatching(/QEMU serves one debugger at a time/) as string,
    });
    expect(await gdb.threads()).toHaveLength(1);
  });

  test('that another client lets run behind our back is stopped by a command, which is not lost', async () => {
    const guest = await startFirmware();
    const [qmp, gdb] = [await connectQmp(guest.qmp), await connectGdb(guest.gdb, { timeoutMs: SHORT_MS })];
    for (let round = 0; round < 10; round++) {
      await qmp.execute('cont');
      expect(await gdb.setWriteWatches([TICKS])).toEqual([]);
      expect(await statusOf(qmp)).toBe('paused');
      await qmp.execute('cont');
      // Which watchpoint it was, QEMU 7.2 reads from memory that it has freed, where one was cleared while a write to it was under way.
      expect(await gdb.continue()).toMatchObject({ signal: GDB_SIGNAL.trap });
      await qmp.execute('cont');
      expect(await gdb.clearWriteWatches([TICKS])).toEqual([]);
      await qmp.execute('cont');
      const controller = new AbortController();
      const stopped = gdb.continue({ signal: controller.signal });
      await sleep(20);
      // Nor does an acknowledgement that comes late stop it again.
      expect([await statusOf(qmp), gdb.isRunning]).toEqual(['running', true]);
      controller.abort();
      expect(await stopped).toMatchObject({ signal: GDB_SIGNAL.int });
    }
    await gdb.detach();
    await expectToRun(qmp);
  });

  test('that quits is told to who waits for a stop', async () => {
    const guest = await startFirmware();
    const [qmp, gdb] = [await connectQmp(guest.qmp), await connectGdb(guest.gdb)];
    const stopped = gdb.continue();
    await expect.poll(() => statusOf(qmp)).toBe('running');
    await qmp.execute('quit');
    const outcome: unknown = await stopped.catch((error: unknown) => error);
    // Versions of QEMU differ in whether they say so before they are gone.
    expect([{ kind: 'exited', status: 0 }, expect.objectContaining({ code: 'source-unavailable' })]).toContainEqual(
      outcome,
    );
    await expect.poll(() => gdb.threads().catch((error: PtmonError) => error.code)).toBe('source-unavailable');
  });
});

describe.skipIf(!isHere)('the guest is not harmed', { timeout: 60_000 }, () => {
  test('by detaching while it runs', async () => {
    const guest = await startFirmware();
    const [qmp, gdb] = [await connectQmp(guest.qmp), await connectGdb(guest.gdb)];
    await startTicking(gdb);
    await gdb.clearWriteWatches([TICKS]);
    const stopped = gdb.continue();
    await gdb.detach();
    expect(await stopped).toMatchObject({ signal: GDB_SIGNAL.int });
    await expectToRun(qmp);
  });

  test('by one that was standing still: it stands still afterwards', async () => {
    const guest = await startFirmware();
    const [qmp, gdb] = [await connectQmp(guest.qmp), await connectGdb(guest.gdb)];
    await gdb.setWriteWatches([TICKS]);
    await gdb.readPhysical(0, 8);
    await gdb.detach({ leaveStopped: true });
    await sleep(50);
    expect(await statusOf(qmp)).toBe('prelaunch');
    await qmp.execute('cont');
    await expectToRun(qmp);
    // Whoever comes next finds the stub as it was: addresses are virtual.
    const next = await connectGdb(guest.gdb);
    expect(await next.readVirtual(0x46cn, 4)).not.toEqual(new Uint8Array(4));
  });

  test.each([true, false])('by a process that ends without waiting; the guest running: %s', async (isRunning) => {
    const guest = await startFirmware();
    const qmp = await connectQmp(guest.qmp);
    for (let round = 0; round < 5; round++) {
      const gdb = await connectGdb(guest.gdb);
      await startTicking(gdb);
      const stopped = isRunning ? gdb.continue().catch(() => {}) : undefined;
      gdb.abandon();
      await stopped;
      await expectToRun(qmp);
    }
  });

  test.each(['unix', 'tcp'] as const)('by a process that ends in the middle of connecting, over %s', async (kind) => {
    const guest = await startFirmware(kind);
    const qmp = await connectQmp(guest.qmp);
    await qmp.execute('cont');
    const program = `
      import { GdbClient } from ${JSON.stringify(new URL('../../dist/drivers/qemu/index.js', import.meta.url).href)};
      void GdbClient.connect(${JSON.stringify(guest.gdb)});
      process.nextTick(() => process.nextTick(() => process.exit()));`;
    await once(spawn(process.execPath, ['--input-type=module', '--eval', program]), 'exit');
    await expectToRun(qmp);
  });

  test.each([
    ['runs on', false, 'running'],
    ['stands still, as it did before', true, 'paused'],
  ] as const)(
    'by one who gives up on a stub that another holds: when that one leaves, it %s',
    async (_, leaveStopped, state) => {
      const guest = await startFirmware();
      const [qmp, first] = [await connectQmp(guest.qmp), await connectGdb(guest.gdb)];
      await startTicking(first);
      const ours = [
        GdbClient.connect(guest.gdb, { timeoutMs: SHORT_MS, leaveStopped }),
        GdbClient.connect(guest.gdb, { signal: AbortSignal.timeout(200), leaveStopped }),
      ];
      for (const { status } of await Promise.allSettled(ours)) expect(status).toBe('rejected');
      await first.detach();
      if (state === 'running') return expectToRun(qmp);
      await expect.poll(() => statusOf(qmp)).toBe('paused');
      const before = await ticksOf(qmp);
      // QEMU may hear of each of them in a turn of its own, and stop the guest for each.
      await expect
        .poll(async () => {
          await qmp.execute('cont');
          return ticksOf(qmp);
        })
        .toBeGreaterThan(before + 3);
      await expectToRun(qmp);
    },
  );

  test('by words after the last one, of which QEMU 7.2 dies', async () => {
    const guest = await startFirmware();
    const [qmp, gdb] = [await connectQmp(guest.qmp), await connectGdb(guest.gdb)];
    await startTicking(gdb);
    const detached = gdb.detach();
    // As a process does that is told to end while it waits for the answer.
    await sleep(0);
    gdb.abandon();
    gdb.abandon();
    await detached.catch(() => {});
    await expectToRun(qmp);
  });

  test.each([true, false])('by letting it go while QEMU does not answer; the guest running: %s', async (isRunning) => {
    const guest = await startFirmware();
    const [qmp, gdb] = [await connectQmp(guest.qmp), await connectGdb(guest.gdb, { timeoutMs: 200 })];
    await startTicking(gdb);
    // Once it runs without a watchpoint, nothing stops it but we.
    if (isRunning) await gdb.clearWriteWatches([TICKS]);
    const stopped = isRunning ? gdb.continue().catch(() => {}) : undefined;
    await sleep(50);
    guest.process.kill('SIGSTOP');
    await expect(gdb.detach()).rejects.toMatchObject({ code: 'source-unavailable' });
    await stopped;
    guest.process.kill('SIGCONT');
    await expectToRun(qmp);
  });

  test('by letting it go when another has let it run already', async () => {
    const guest = await startFirmware();
    const [qmp, gdb] = [await connectQmp(guest.qmp), await connectGdb(guest.gdb, { timeoutMs: SHORT_MS })];
    await startTicking(gdb);
    await gdb.clearWriteWatches([TICKS]);
    await qmp.execute('cont');
    await gdb.detach().catch(() => {});
    await expectToRun(qmp);
    const next = await connectGdb(guest.gdb);
    await qmp.execute('cont');
    next.noteResumed();
    await next.detach();
    await expectToRun(qmp);
  });

  test('for good by a client that died: the next one frees it', async () => {
    const guest = await startFirmware();
    const [qmp, gdb] = [await connectQmp(guest.qmp), await connectGdb(guest.gdb)];
    await startTicking(gdb);
    const stopped = gdb.continue().catch(() => {});
    gdb.close();
    await stopped;
    await expect.poll(() => statusOf(qmp), { timeout: 5000 }).toBe('debug');
    const next = await connectGdb(guest.gdb);
    await next.detach();
    await expectToRun(qmp);
  });
});
