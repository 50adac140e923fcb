import { describe, expect, onTestFinished, test } from 'vitest';
import { RunControl } from '../../../../src/drivers/qemu/exact/running/run-control.ts';
import type { RunNotice } from '../../../../src/drivers/qemu/exact/running/run-notice.ts';
import { GdbClient } from '../../../../src/drivers/qemu/gdb/client.ts';
import { GuestEnd } from '../../../../src/drivers/qemu/guest-end.ts';
import { QmpClient } from '../../../../src/drivers/qemu/qmp/client.ts';
import { Stub, type StubOptions } from '../gdb/stub.ts';
import { returning, startQmpServer } from '../qmp/qmp-server.ts';

const HIT = 'T05thread:p01.01;watch:1000;';
const PAUSE = 'T02thread:p01.01;';

/** A guest that others have a hand in: what QEMU says of it at each of its two sockets is for the test to say. */
async function stage(options: StubOptions = {}) {
  const guest = { state: 'debug' };
  const stub = await Stub.start(options);
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

describe('another client that pauses the guest', () => {
  test('just before an interrupt of ours arrives finds it paused', async () => {
    const { guest, stub, say, control, notices, halt } = await stage();
    const next = control.next(halt.signal);
    await expect.poll(() => stub.isRunning).toBe(true);
    say('RESUME');
    guest.state = 'paused';
    stub.stop(PAUSE);
    control.interrupt();
    say('STOP');
    expect(await next).toMatchObject({ isSure: true });
    void control.next(halt.signal);
    await expect.poll(() => notices).toEqual([{ kind: 'held', state: 'paused' }]);
    expect([control.isHeld, stub.isRunning, stub.strayStops]).toEqual([true, false, 0]);
  });

  test('again, before the stub has told of the last time, finds it paused', async () => {
    const { guest, stub, say, control, halt } = await stage({
      // The stop arrives late, among the answers to whatever follows.
      reply: (payload) => {
        if (payload === 'qC') stub.say(PAUSE);
        return undefined;
      },
    });
    const first = control.next(halt.signal);
    await expect.poll(() => stub.isRunning).toBe(true);
    say('RESUME');
    guest.state = 'paused';
    stub.stop(PAUSE);
    say('STOP');
    await first;
    for (let round = 0; round < 3; round++) {
      say('RESUME', 'STOP');
      expect(await control.next(halt.signal)).toEqual({ reply: undefined, isSure: true });
      expect([round, control.isHeld, stub.isRunning]).toEqual([round, true, false]);
    }
    expect(stub.commands).not.toContain('qC');
  });

  test('and resumes it is not stopped by an acknowledgement of that pause', async () => {
    const { guest, stub, say, control, halt } = await stage();
    const first = control.next(halt.signal);
    await expect.poll(() => stub.isRunning).toBe(true);
    say('RESUME');
    guest.state = 'paused';
    stub.stop(PAUSE);
    say('STOP');
    await first;
    const next = control.next(halt.signal);
    for (let round = 0; round < 2; round++) {
      stub.resumeBehindBack();
      stub.stop(PAUSE);
    }
    guest.state = 'running';
    stub.resumeBehindBack();
    say('RESUME', 'STOP', 'RESUME', 'STOP', 'RESUME');
    await new Promise((resolve) => setTimeout(resolve, 100));
    expect([stub.isRunning, stub.strayStops]).toEqual([true, 0]);
    halt.abort();
    await next;
  });
});

test.each([false, true])('an interrupt of ours stops the guest, and nobody else has; silent: %s', async (isSilent) => {
  const { guest, stub, say, control, notices, halt } = await stage({ isSilentAboutStops: isSilent });
  for (let round = 0; round < 3; round++) {
    const next = control.next(halt.signal);
    await expect.poll(() => stub.isRunning).toBe(true);
    say('RESUME');
    guest.state = 'paused';
    control.interrupt();
    await expect.poll(() => stub.isRunning).toBe(false);
    say('STOP');
    expect(await next).toEqual({
      reply: { kind: 'stopped', signal: 2, thread: { pid: 1, tid: 1 }, watch: undefined },
      isSure: true,
    });
    expect([control.isHeld, notices.filter(({ kind }) => kind === 'held')]).toEqual([false, []]);
  }
});

test('an interrupt that comes when a watchpoint has stopped the guest is in step with what follows', async () => {
  const { stub, say, control, halt } = await stage();
  for (let round = 0; round < 3; round++) {
    const next = control.next(halt.signal);
    await expect.poll(() => stub.isRunning).toBe(true);
    say('RESUME');
    stub.stop(HIT);
    control.interrupt();
    say('STOP');
    expect(await next).toMatchObject({ reply: { watch: { va: 0x1000n } }, isSure: true });
  }
});
