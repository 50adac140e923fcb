/** Memory of a real guest that changes without a store of the guest: everything is compared as soon as another client has resumed it. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { openQemu } from '../../src/drivers/qemu/exact/index.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import type { QmpObject } from '../../src/drivers/qemu/qmp/messages.ts';
import { openSession } from '../../src/session/index.ts';
import { leftOut } from './real-guest.ts';
import { WatchedGuest } from './watched-guest.ts';

const VA = 0x600000000000n;
const hex = (value: bigint): string => `0x${value.toString(16)}`;

describe.skipIf(leftOut('test/live/restored-memory, snapshot-load into a guest that is watched'))(
  'memory that another client restores',
  { timeout: 120_000 },
  () => {
    let machine: WatchedGuest;
    let other: QmpClient;
    let folder: string;

    beforeAll(async () => {
      folder = mkdtempSync(join(tmpdir(), 'ptmon-test-'));
      const socket = join(folder, 'qmp');
      machine = await WatchedGuest.boot({ cpu: 'max', extraArguments: ['-qmp', `unix:${socket},server=on,wait=off`] });
      other = await QmpClient.connect(socket);
    }, 150_000);
    afterAll(async () => {
      await other?.close();
      await machine?.stop();
      rmSync(folder, { recursive: true, force: true });
    });

    /** Runs a job of QEMU to its end. */
    async function job(command: string, args: QmpObject): Promise<void> {
      const id = `job-${command}`;
      await other.execute(command, { 'job-id': id, ...args });
      type Job = { readonly id: string; readonly status: string; readonly error?: string };
      const find = async () => ((await other.execute('query-jobs')) as Job[]).find((each) => each.id === id);
      await expect.poll(async () => (await find())?.status, { timeout: 60_000 }).toBe('concluded');
      expect((await find())?.error).toBeUndefined();
      await other.execute('job-dismiss', { id });
    }

    /** Where QEMU keeps a snapshot. */
    async function makeDisk(): Promise<void> {
      const filename = join(folder, 'disk');
      await job('blockdev-create', { options: { driver: 'file', filename, size: 0 } });
      await other.execute('blockdev-add', { driver: 'file', 'node-name': 'file', filename });
      await job('blockdev-create', { options: { driver: 'qcow2', file: 'file', size: 2 ** 30 } });
      await other.execute('blockdev-add', { driver: 'qcow2', 'node-name': 'disk', file: 'file' });
    }

    test('E1 what a loaded snapshot changes is reported at once, though the guest writes to no watched table', async () => {
      await makeDisk();
      const { qmpPath: qmp, gdbPath: gdb, workload } = machine.guest;
      await workload.command(`map 8 small at=${hex(VA)}`);
      await workload.command(`touch ${hex(VA)} 4`);
      const disk = { tag: 'before', vmstate: 'disk', devices: ['disk'] };
      await job('snapshot-save', disk);
      await workload.command(`dontneed ${hex(VA)} 4`);

      const session = await openSession({ driver: await openQemu({ qmp, gdb }) });
      await session.watch({ root: machine.root, va: VA, byteLength: 8 * 4096 });
      const heard: { readonly event: MonitorEvent; readonly atMs: number }[] = [];
      const reading = (async () => {
        for await (const event of session) heard.push({ event, atMs: performance.now() });
      })();
      await sleep(300);
      expect(heard).toEqual([]);
      await job('snapshot-load', disk);
      const loadedMs = performance.now();
      await expect.poll(() => heard.length, { timeout: 10_000 }).toBe(4);
      console.log(`reported ${(heard.at(-1)!.atMs - loadedMs).toFixed(0)} ms after the snapshot was loaded`);
      expect(heard.at(-1)!.atMs - loadedMs).toBeLessThan(1000);
      expect(heard.map(({ event }) => [event.kind, event.va])).toEqual(
        [0n, 1n, 2n, 3n].map((page) => ['page-in', VA + page * 4096n]),
      );
      await session.close();
      await reading;
      expect(((await other.execute('query-status')) as { status: string }).status).toBe('running');
      expect(session.summary().lost.unknown).toBe(true);
    });
  },
);
