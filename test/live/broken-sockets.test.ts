/** Sockets that are swapped, break or stall, on a real guest: it is never left stopped without a word. */
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { GdbClient } from '../../src/drivers/qemu/gdb/client.ts';
import { openQemu } from '../../src/drivers/qemu/index.ts';
import { openQemuSampling } from '../../src/drivers/qemu/index.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { type PtmonProcess, startNode, startPtmon } from './ptmon-process.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest } from './watched-guest.ts';

const VA = 0x600000000000n;
const hex = (value: bigint): string => `0x${value.toString(16)}`;

interface Proxy {
  readonly path: string;
  /** Passes on nothing any more, either way; new connections as well. */
  stall(): void;
  /** Closes what is connected; new connections are passed on. */
  cut(): void;
}

/** Stands between ptmon and a socket of QEMU. */
async function startProxy(target: string): Promise<Proxy> {
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-proxy-'));
  const path = join(folder, 'proxy.sock');
  const pairs = new Set<readonly [Socket, Socket]>();
  let isStalled = false;
  const server = createServer((near) => {
    const far = connect(target);
    const pair = [near, far] as const;
    pairs.add(pair);
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      from.on('error', () => {});
      from.on('data', (chunk) => !isStalled && to.write(chunk));
      from.on('close', () => to.destroy());
    }
  });
  server.listen(path);
  await once(server, 'listening');
  onTestFinished(() => {
    for (const pair of pairs) for (const socket of pair) socket.destroy();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return {
    path,
    stall: () => (isStalled = true),
    cut: () => {
      for (const pair of pairs) for (const socket of pair) socket.destroy();
    },
  };
}

const isHere = !leftOut('test/live/broken-sockets, sockets that are swapped, break or stall');

describe.skipIf(!isHere)('sockets of a real guest', { timeout: 120_000 }, () => {
  let machine: WatchedGuest;
  beforeAll(async () => {
    machine = await WatchedGuest.boot({ cpu: 'max' });
    await machine.guest.workload.command(`map 4 small at=${hex(VA)}`);
  }, 150_000);
  afterAll(() => machine?.stop());

  async function withQmp<T>(work: (qmp: QmpClient) => Promise<T>): Promise<T> {
    const qmp = await QmpClient.connect(machine.guest.qmpPath);
    try {
      return await work(qmp);
    } finally {
      await qmp.close();
    }
  }
  const statusOf = () => withQmp(async (qmp) => ((await qmp.execute('query-status')) as { status: string }).status);

  async function expectFree(): Promise<void> {
    await machine.guest.workload.command(`touch ${hex(VA)} 4`, { timeoutMs: 20_000 });
    await machine.guest.workload.command(`dontneed ${hex(VA)} 4`, { timeoutMs: 20_000 });
    expect(await statusOf()).toBe('running');
  }

  async function watching(gdb: string): Promise<PtmonProcess> {
    const place = ['--root', hex(machine.root), '--va', `${hex(VA)}+16K=here`, '--json'];
    const watch = startPtmon('watch', '--qmp', machine.guest.qmpPath, '--gdb', gdb, ...place);
    await watch.lines(2);
    return watch;
  }

  async function started(gdb: string): Promise<PtmonProcess> {
    const watch = await watching(gdb);
    void machine.guest.workload.command(`loop fault 300 pages=4 at=${hex(VA)}`, { timeoutMs: 60_000 }).catch(() => {});
    await watch.lines(6);
    return watch;
  }

  describe('swapped', () => {
    const swapped = () => ['--qmp', machine.guest.gdbPath, '--gdb', machine.guest.qmpPath];

    test.each([
      ['watch', () => ['watch', ...swapped(), '--va', hex(VA)]],
      ['watch by samples', () => ['watch', '--qmp', machine.guest.gdbPath, '--va', hex(VA)]],
      ['map', () => ['map', ...swapped()]],
      ['doctor', () => ['doctor', ...swapped()]],
      ['doctor --release', () => ['doctor', ...swapped(), '--release']],
    ])('%s', async (_, args) => {
      const command = startPtmon(...args());
      expect(await command.ended).not.toBe(0);
      expect(command.stdout + command.stderr).toMatch(/swapped|does not speak/);
      await expectFree();
    });

    test('the library', async () => {
      const { qmpPath: gdb, gdbPath: qmp } = machine.guest;
      for (const open of [() => openQemu({ qmp, gdb }), () => openQemuSampling({ qmp })]) {
        await expect(open()).rejects.toMatchObject({ code: 'bad-argument', message: expect.stringMatching(/swapped/) });
        await expectFree();
      }
    });

    test('QMP that another client lets go of a moment later is no gdbstub', async () => {
      const first = await QmpClient.connect(machine.guest.qmpPath);
      const second = QmpClient.connect(machine.guest.qmpPath);
      await sleep(1500);
      await first.close();
      const qmp = await second;
      expect(await qmp.execute('query-status')).toMatchObject({ status: 'running' });
      await qmp.close();
      await expectFree();
    });

    test('a guest that was paused stays paused, where QEMU lets that be known', async () => {
      const [major = 0, minor = 0] = await withQmp(async ({ greeting }) => greeting.version);
      const isTold = major < 8 || (major === 8 && minor === 0);
      await withQmp((qmp) => qmp.execute('stop'));
      await expect(openQemuSampling({ qmp: machine.guest.gdbPath })).rejects.toThrow(
        isTold ? /swapped\? The guest was paused before, and still is/ : /swapped\? .* pause it again/,
      );
      expect(await statusOf()).toBe(isTold ? 'paused' : 'running');
      await withQmp((qmp) => qmp.execute('cont'));
      await expectFree();
    });
  });

  test('the gdb socket alone breaks: exit code 3, and the guest runs on', async () => {
    const proxy = await startProxy(machine.guest.gdbPath);
    const watch = await started(proxy.path);
    proxy.cut();
    expect(await watch.ended).toBe(3);
    await expectFree();
  });

  test('the gdb socket alone stalls: QMP resumes the guest, and what to do is said', async () => {
    const proxy = await startProxy(machine.guest.gdbPath);
    const watch = await started(proxy.path);
    proxy.stall();
    watch.child.kill('SIGINT');
    expect(await watch.ended).toBe(130);
    expect(watch.stderr).toMatch(/The gdbstub does not answer: the guest may be stopped.*doctor --release/);
    proxy.cut();
    const doctor = startPtmon('doctor', '--qmp', machine.guest.qmpPath, '--gdb', machine.guest.gdbPath, '--release');
    expect(await doctor.ended).toBe(0);
    await expectFree();
  });

  test('kill -9 while the gdb socket stalls and another client has QMP: the guest runs as soon as QMP can be had', async () => {
    const proxy = await startProxy(machine.guest.gdbPath);
    const watch = await watching(proxy.path);
    proxy.stall();
    const other = QmpClient.connect(machine.guest.qmpPath);
    watch.child.kill('SIGKILL');
    await watch.ended;
    const qmp = await other;
    proxy.cut();
    // Longer than two attempts of the guardian.
    await sleep(5000);
    await qmp.close();
    await expect.poll(statusOf, { timeout: 5000 }).toBe('running');
    await sleep(3000);
    expect(await statusOf()).toBe('running');
    const doctor = startPtmon('doctor', '--qmp', machine.guest.qmpPath, '--gdb', machine.guest.gdbPath, '--release');
    expect(await doctor.ended).toBe(0);
    await expectFree();
  });

  describe('doctor --release ends within five seconds', () => {
    async function release(qmp: string, gdb: string): Promise<{ code: unknown; said: string }> {
      const start = performance.now();
      const doctor = startPtmon('doctor', '--qmp', qmp, '--gdb', gdb, '--release');
      const code = await doctor.ended;
      expect(performance.now() - start).toBeLessThan(5000);
      return { code, said: doctor.stdout };
    }

    test('with a client that is stopped for good and still has the stub', async () => {
      const { qmpPath, gdbPath } = machine.guest;
      const gdb = await GdbClient.connect(gdbPath);
      try {
        const { code, said } = await release(qmpPath, gdbPath);
        expect(code).toBe(3);
        expect(said).toMatch(/the guest runs now, resumed by QMP, but watchpoints were not cleared.*another debugger/);
        expect(await statusOf()).toBe('running');
      } finally {
        await gdb.detach();
      }
      await expectFree();
    });

    test.each(['qmp', 'gdb', 'both'])('with a socket that never answers: %s', async (which) => {
      const [qmp, gdb] = [await startProxy(machine.guest.qmpPath), await startProxy(machine.guest.gdbPath)];
      if (which !== 'gdb') qmp.stall();
      if (which !== 'qmp') gdb.stall();
      const { said } = await release(qmp.path, gdb.path);
      expect(said).toMatch(which === 'qmp' ? /watchpoints cleared/ : /watchpoints were not cleared/);
      qmp.cut();
      gdb.cut();
      await sleep(100);
      await release(machine.guest.qmpPath, machine.guest.gdbPath);
      await expectFree();
    });
  });

  test('a process that holds the stub and is stopped by SIGSTOP: the guest can be resumed by QMP', async () => {
    const { qmpPath, gdbPath } = machine.guest;
    const holder = startNode('-e', `require('net').connect(${JSON.stringify(gdbPath)}); setInterval(() => {}, 1000)`);
    await expect.poll(statusOf).toBe('paused');
    process.kill(holder.child.pid!, 'SIGSTOP');
    const doctor = startPtmon('doctor', '--qmp', qmpPath, '--gdb', gdbPath, '--release');
    expect(await doctor.ended).toBe(3);
    expect(await statusOf()).toBe('running');
    process.kill(holder.child.pid!, 'SIGKILL');
    await holder.ended;
    await release();
    await expectFree();

    async function release(): Promise<void> {
      const again = startPtmon('doctor', '--qmp', qmpPath, '--gdb', gdbPath, '--release');
      expect(await again.ended).toBe(0);
    }
  });
});
