import { describe, expect, onTestFinished, test } from 'vitest';
import { RunControl } from '../../../../src/drivers/qemu/exact/run-control.ts';
import type { RunNotice } from '../../../../src/drivers/qemu/exact/run-notice.ts';
import { GdbClient } from '../../../../src/drivers/qemu/gdb/client.ts';
import { GuestEnd } from '../../../../src/drivers/qemu/guest-end.ts';
import { QmpClient } from '../../../../src/drivers/qemu/qmp/client.ts';
import { Stub } from '../gdb/stub.ts';
import { returning, startQmpServer } from '../qmp/qmp-server.ts';

const HIT = 'T05thread:p01.01;watch:1000;';
const PAUSE = 'T02thread:p01.01;';

/** A guest that others have a hand in: what QEMU says of it at each of its two sockets is for the test to say. */
async function stage() {
  const guest = { state: 'debug' };
  const stub = await Stub.start();
  const server = await startQmpServer((command, socket) =>
    socket.write(returning(command, { status: guest.state, running: guest.state === 'running' })),
  );
  const qmp = await QmpClient.connect(server.address);
  const gdb = await GdbClient.connect(stub.address);
  const notices: RunNotice[] = [];
  const control = new RunControl({
    qmp,
    gdb,
    end: new GuestEnd(server.address),
    stateBefore: 'running',
    onNotice: (notice) => notices.push(notice),
  });
  const halt = new AbortController();
  onTestFinished(async () => {
    halt.abort();
    await control.letGo().catch(() => {});
    await qmp.close();
  });
  const say = (...names: readonly string[]) => {
    for (const name of names) control.hear({ name, data: {}, timeMs: 0 });
  };
  return { guest, stub, gdb, control, notices, halt, say };
}

describe('another client that lets the guest run just before we do', () => {
  test('is heard of, and no stop after the next one is taken for theirs', async () => {
    const { stub, say, control, halt } = await stage();
    stub.resumeBehindBack();
    const first = control.next(halt.signal);
    await expect.poll(() => stub.commands).toContain('vCont;c');
    // Theirs, its end by our command, and ours.
    say('RESUME', 'STOP', 'RESUME');
    stub.stop(HIT);
    say('STOP');
    expect(await first).toEqual({ reply: undefined, isSure: false });
    for (let round = 0; round < 3; round++) {
      const before = stub.commands.length;
      const next = control.next(halt.signal);
      await expect.poll(() => stub.isRunning).toBe(true);
      say('RESUME');
      stub.stop(HIT);
      say('STOP');
      expect(await next).toMatchObject({ reply: { watch: { va: 0x1000n } }, isSure: true });
      expect(stub.commands.slice(before)).toEqual(['vCont;c']);
    }
  });

  test('and pauses it later finds it paused', async () => {
    const { guest, stub, say, control, notices, halt } = await stage();
    stub.resumeBehindBack();
    const next = control.next(halt.signal);
    await expect.poll(() => stub.commands).toContain('vCont;c');
    say('RESUME', 'STOP', 'RESUME');
    guest.state = 'paused';
    stub.stop(PAUSE);
    say('STOP');
    await next;
    expect(control.isHeld).toBe(true);
    const held = control.next(halt.signal);
    await expect.poll(() => notices).toEqual([{ kind: 'held', state: 'paused' }]);
    expect(stub.isRunning).toBe(false);
    halt.abort();
    expect(await held).toBeUndefined();
  });
});

test('a guest that a command of ours has stopped is not taken for paused by whoever let it run', async () => {
  const { guest, stub, gdb, say, control, notices, halt } = await stage();
  stub.resumeBehindBack();
  await gdb.setWriteWatches([{ va: 0x1000n, byteLength: 8 }]);
  guest.state = 'paused';
  say('RESUME', 'STOP');
  expect(await control.next(halt.signal)).toEqual({ reply: undefined, isSure: true });
  expect([control.isHeld, notices, stub.isRunning]).toEqual([false, [], false]);
});
