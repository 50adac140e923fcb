import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import type { PtmonError } from '../../../../src/core/error.ts';
import { GdbConnection } from '../../../../src/drivers/qemu/gdb/connection.ts';
import { GdbClient, type GdbOptions } from '../../../../src/drivers/qemu/gdb/index.ts';
import { frameCommand, HALT } from '../../../../src/drivers/qemu/gdb/packet/packet-encoder.ts';
import { connectTransport } from '../../../../src/drivers/qemu/transport/socket-transport.ts';
import { startPeer, startReadingPeer } from '../transport/peer.ts';
import { packet, Stub, type StubOptions } from './stub.ts';

async function connect(options: StubOptions & { readonly client?: GdbOptions } = {}): Promise<[GdbClient, Stub]> {
  const stub = await Stub.start(options);
  const gdb = await GdbClient.connect(stub.address, options.client);
  onTestFinished(() => gdb.close());
  return [gdb, stub];
}

const watch = (va: bigint, byteLength = 8) => ({ va, byteLength });
const soon = () => new Promise((resolve) => setTimeout(resolve, 20));

describe('write watchpoints', () => {
  test('many are set and cleared, all under way at once', async () => {
    const [gdb, stub] = await connect();
    const watches = Array.from({ length: 500 }, (_, at) => watch(0xffff_8880_0000_0000n + BigInt(at) * 8n));
    expect(await gdb.setWriteWatches(watches)).toEqual([]);
    expect([stub.watches.length, stub.watches[499], gdb.writeWatchCount]).toEqual([500, 'ffff888000000f98,8', 500]);
    expect(await gdb.clearWriteWatches(watches.slice(0, 400))).toEqual([]);
    expect([stub.watches.length, gdb.writeWatchCount]).toEqual([100, 100]);
  });

  test('one that is set is not set again: QEMU would keep it twice', async () => {
    const [gdb, stub] = await connect();
    await gdb.setWriteWatches([watch(0x1000n), watch(0x1000n), watch(0x1000n, 4)]);
    await gdb.setWriteWatches([watch(0x1000n)]);
    expect(stub.watches).toEqual(['1000,8', '1000,4']);
    await gdb.clearWriteWatches([watch(0x1000n), watch(0x2000n)]);
    await gdb.clearWriteWatches([watch(0x1000n)]);
    expect(stub.watches).toEqual(['1000,4']);
  });

  test('those that do not fit are returned', async () => {
    const [gdb, stub] = await connect({ maxWatches: 4 });
    const watches = Array.from({ length: 6 }, (_, at) => watch(BigInt(at)));
    expect(await gdb.setWriteWatches(watches)).toEqual(watches.slice(4));
    expect([stub.watches.length, gdb.writeWatchCount]).toEqual([4, 4]);
  });

  test('those that the stub has forgotten are returned', async () => {
    const [gdb, stub] = await connect();
    await gdb.setWriteWatches([watch(1n), watch(2n)]);
    stub.watches = ['1,8'];
    expect(await gdb.clearWriteWatches([watch(1n), watch(2n)])).toEqual([watch(2n)]);
    expect(gdb.writeWatchCount).toBe(0);
  });

  test.each([
    ['', 'source-unavailable', /has no write watchpoints/],
    ['sure', 'corrupt-input', /answered "sure" to a watchpoint/],
  ])('a stub that answers "%s"', async (reply, code, message) => {
    const [gdb] = await connect({ reply: (payload) => (payload.startsWith('Z') ? reply : undefined) });
    await expect(gdb.setWriteWatches([watch(1n)])).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message) as string,
    });
  });
});

describe('running', () => {
  test('ends with the stop that comes, however late', async () => {
    const [gdb, stub] = await connect({ client: { timeoutMs: 300 } });
    const stopped = gdb.continue();
    await new Promise((resolve) => setTimeout(resolve, 700));
    expect([gdb.isRunning, stub.isRunning]).toEqual([true, true]);
    stub.stop('T05thread:p01.01;watch:ffff888000001000;');
    const stop = await stopped;
    expect(stop).toEqual({
      kind: 'stopped',
      signal: 5,
      thread: { pid: 1, tid: 1 },
      watch: { access: 'write', va: 0xffff_8880_0000_1000n },
    });
    expect([gdb.stop, gdb.isRunning]).toEqual([stop, false]);
  });

  test.each([false, true])('is interrupted by an abort, and goes on after it; silent: %s', async (isSilent) => {
    const [gdb, stub] = await connect({ isSilentAboutStops: isSilent });
    for (let round = 0; round < 3; round++) {
      const controller = new AbortController();
      const stopped = gdb.continue({ signal: controller.signal });
      await expect.poll(() => stub.isRunning).toBe(true);
      controller.abort();
      expect(await stopped).toMatchObject({ kind: 'stopped', signal: 2 });
    }
    expect(await gdb.continue({ signal: AbortSignal.abort() })).toMatchObject({
      signal: 2,
      thread: { pid: 1, tid: 1 },
    });
    expect(stub.strayStops).toBe(0);
    await gdb.detach();
    expect(stub.commands.at(-1)).toBe('D;1');
  });

  test('an abort that a stop outruns: that stop, and no second', async () => {
    const [gdb, stub] = await connect();
    const controller = new AbortController();
    const stopped = gdb.continue({ signal: controller.signal });
    await expect.poll(() => stub.isRunning).toBe(true);
    stub.stop('T05thread:p01.01;watch:10;');
    controller.abort();
    expect(await stopped).toMatchObject({ signal: 5, watch: { va: 16n } });
    expect(await gdb.readPhysical(0, 1)).toEqual(Uint8Array.of(0));
  });

  test('lets nothing else be sent: that would stop the guest', async () => {
    const [gdb, stub] = await connect();
    const controller = new AbortController();
    const stopped = gdb.continue({ signal: controller.signal });
    const refused = { code: 'bad-argument', message: expect.stringMatching(/the guest is running/) as string };
    await expect(gdb.readRegisters()).rejects.toMatchObject(refused);
    await expect(gdb.readPhysical(0, 8)).rejects.toMatchObject(refused);
    await expect(gdb.setWriteWatches([watch(1n)])).rejects.toMatchObject(refused);
    await expect(gdb.continue()).rejects.toMatchObject(refused);
    expect(gdb.isRunning).toBe(true);
    controller.abort();
    await stopped;
    expect(stub.strayStops).toBe(0);
  });

  test('what was begun before is done before', async () => {
    const [gdb, stub] = await connect();
    const controller = new AbortController();
    const set = gdb.setWriteWatches(Array.from({ length: 200 }, (_, at) => watch(BigInt(at))));
    const stopped = gdb.continue({ signal: controller.signal });
    await set;
    expect(stub.watches.length).toBe(200);
    controller.abort();
    expect(await stopped).toMatchObject({ signal: 2 });
    expect(stub.strayStops).toBe(0);
  });

  test.each([
    ['W00', { kind: 'exited', status: 0 }],
    ['X09', { kind: 'killed', signal: 9 }],
    ['T03thread:p01.01;', { kind: 'stopped', signal: 3 }],
  ])('a guest that ends: %s', async (payload, stop) => {
    const [gdb, stub] = await connect();
    const stopped = gdb.continue();
    await expect.poll(() => stub.isRunning).toBe(true);
    stub.stop(payload);
    stub.hangUp();
    expect(await stopped).toMatchObject(stop);
  });

  test.each([
    ['E22', 'source-unavailable', /refused the command to continue \(error 22\)/],
    ['', 'source-unavailable', /refused the command to continue \(not supported\)/],
    ['OK', 'corrupt-input', /answered "OK" to the command to continue/],
  ])('a stub that answers "%s" to it', async (reply, code, message) => {
    const [gdb] = await connect({ reply: (payload) => (payload.startsWith('vCont') ? reply : undefined) });
    await expect(gdb.continue()).rejects.toMatchObject({ code, message: expect.stringMatching(message) as string });
    expect(gdb.isRunning).toBe(false);
  });

  test('what the target prints, notifications and noise do not end it', async () => {
    const [gdb, stub] = await connect();
    const stopped = gdb.continue();
    await expect.poll(() => stub.isRunning).toBe(true);
    stub.say('O68690a');
    stub.sendRaw(`%${packet('Stop:T05').slice(1)}??+`);
    await soon();
    expect(gdb.isRunning).toBe(true);
    stub.stop('S05');
    expect(await stopped).toMatchObject({ signal: 5 });
  });
});

describe('giving up while connecting', () => {
  test.each([
    ['lets the guest run when the stub gets to it', false, ['D;1']],
    ['leaves one standing that stood before', true, []],
  ] as const)('%s', async (_, leaveStopped, last) => {
    const stub = await Stub.start({ reply: (payload) => (payload.startsWith('qSupported') ? null : undefined) });
    const options = { timeoutMs: 100, leaveStopped };
    await expect(GdbClient.connect(stub.address, options)).rejects.toThrow(/another seems to be connected/);
    await soon();
    expect(stub.commands.slice(1)).toEqual(last);
    await expect(
      GdbClient.connect(stub.address, { ...options, timeoutMs: 5000, signal: AbortSignal.timeout(50) }),
    ).rejects.toMatchObject({ name: 'TimeoutError' });
    await soon();
    expect(stub.commands.slice(1).filter((command) => !command.startsWith('qSupported'))).toEqual([...last, ...last]);
  });
});

describe('a guest that another client lets run', () => {
  test('is stopped by what needs it to stand still, and that is counted', async () => {
    const [gdb, stub] = await connect({ vcpus: 2 });
    stub.resumeBehindBack();
    gdb.noteResumed();
    expect([gdb.resumedElsewhere, await gdb.threads(), gdb.resumedElsewhere]).toEqual([true, expect.any(Array), false]);
    expect([stub.isRunning, stub.strayStops, gdb.interruptions]).toEqual([false, 0, 1]);
    // One that stands still already is not stopped.
    await gdb.rejoin();
    expect([gdb.resumedElsewhere, gdb.interruptions]).toEqual([false, 1]);
    stub.resumeBehindBack();
    gdb.noteResumed();
    await gdb.detach();
    expect([stub.isRunning, stub.commands.at(-1)]).toEqual([true, 'D;1']);
  });
});

describe('detaching', () => {
  test('clears everything, lets the guest run, and closes; it may be called again', async () => {
    const losses: unknown[] = [];
    const [gdb, stub] = await connect({ client: { onLost: (error) => losses.push(error) } });
    await gdb.setWriteWatches([watch(1n)]);
    await gdb.readPhysical(0, 8);
    await Promise.all([gdb.detach(), gdb.detach()]);
    await gdb.detach();
    expect(stub.commands.slice(-2)).toEqual(['Qqemu.PhyMemMode:0', 'D;1']);
    expect([stub.isRunning, stub.isPhysical, stub.watches]).toEqual([true, false, []]);
    await soon();
    expect([stub.strayStops, losses]).toEqual([0, []]);
    await expect(gdb.threads()).rejects.toMatchObject({ code: 'closed' });
  });

  test('while the guest runs: it stops for a moment, and `continue` returns', async () => {
    const [gdb, stub] = await connect();
    const stopped = gdb.continue();
    await expect.poll(() => stub.isRunning).toBe(true);
    await gdb.detach();
    expect(await stopped).toMatchObject({ signal: 2 });
    expect([stub.isRunning, stub.strayStops, stub.commands.at(-1)]).toEqual([true, 0, 'D;1']);
  });

  test('in the same breath as `continue`', async () => {
    const [gdb, stub] = await connect();
    const stopped = gdb.continue();
    await gdb.detach();
    expect(await stopped).toMatchObject({ signal: 2 });
    expect([stub.isRunning, stub.commands.at(-1)]).toEqual([true, 'D;1']);
  });

  test.each([1, 2, 3])('can leave the guest standing, with nothing of ours left on any of %i vCPUs', async (vcpus) => {
    const [gdb, stub] = await connect({ vcpus });
    await gdb.setWriteWatches([watch(1n), watch(2n)]);
    await gdb.readPhysical(0, 8);
    await gdb.detach({ leaveStopped: true });
    expect([stub.isRunning, stub.isPhysical, stub.watches]).toEqual([false, false, []]);
  });

  test.each(['qfThreadInfo', 'Hcp1.1', '?', 'Hcp1.2'])(
    'leaves a guest running that another client resumes at %s, while it is to be left standing',
    async (last) => {
      let isLeaving = false;
      const [gdb, stub] = await connect({
        vcpus: 2,
        reply: (payload) => {
          if (isLeaving && payload === last) setImmediate(() => stub.resumeBehindBack());
          return undefined;
        },
      });
      await gdb.setWriteWatches([watch(1n)]);
      isLeaving = true;
      await gdb.detach({ leaveStopped: true });
      expect([stub.isRunning, stub.watches, stub.commands.at(-1)]).toEqual([true, [], 'D;1']);
    },
  );

  test.each([1, 2, 3])('the same without waiting, with %i vCPUs', async (vcpus) => {
    const [gdb, stub] = await connect({ vcpus });
    await gdb.threads();
    await gdb.setWriteWatches([watch(1n), watch(2n)]);
    gdb.abandon({ leaveStopped: true });
    await expect.poll(() => stub.watches).toEqual([]);
    expect(stub.isRunning).toBe(false);
  });

  test('nothing follows the last word, be it answered or not', async () => {
    const [gdb, stub] = await connect({
      reply: (payload) => (payload.startsWith('D') ? null : undefined),
      client: { timeoutMs: 100 },
    });
    const detached = gdb.detach();
    await soon();
    gdb.abandon();
    await expect(detached).rejects.toMatchObject({ code: 'closed' });
    await soon();
    expect([stub.commands.filter((command) => command.startsWith('D')), stub.isDead]).toEqual([['D;1'], false]);
  });

  test('a stub that does not answer finds it later', async () => {
    const [gdb, stub] = await connect({
      vcpus: 2,
      reply: (payload) => (/^(Qqemu|qC)/.test(payload) && gdb.writeWatchCount > 0 ? null : undefined),
      client: { timeoutMs: 100 },
    });
    await gdb.readPhysical(0, 8);
    await gdb.setWriteWatches([watch(1n)]);
    await expect(gdb.detach()).rejects.toMatchObject({ code: 'source-unavailable' });
    await expect.poll(() => [stub.isRunning, stub.watches, stub.isDead]).toEqual([true, [], false]);
  });

  test('a stub without processes is told no process', async () => {
    const [gdb, stub] = await connect({ reply: (payload) => (payload === '?' ? 'S05' : undefined) });
    await gdb.detach();
    expect(stub.commands.at(-1)).toBe('D');
  });

  test('a stub that refuses, or is gone, is said so; detaching ends all the same', async () => {
    const [refused] = await connect({ reply: (payload) => (payload.startsWith('D') ? 'E22' : undefined) });
    await expect(refused.detach()).rejects.toThrow(/refused the command to detach/);
    await expect(refused.threads()).rejects.toMatchObject({ code: 'closed' });
    const [gdb, stub] = await connect();
    stub.hangUp();
    await expect.poll(() => gdb.threads().catch((error: PtmonError) => error.code)).toBe('source-unavailable');
    await expect(gdb.detach()).rejects.toMatchObject({ code: 'source-unavailable' });
  });

  test.each([true, false])('without waiting, for a process that ends; the guest running: %s', async (isRunning) => {
    const [gdb, stub] = await connect();
    await gdb.setWriteWatches([watch(1n)]);
    await gdb.readPhysical(0, 8);
    const stopped = isRunning ? gdb.continue().catch((error: PtmonError) => error.code) : 'closed';
    if (isRunning) await expect.poll(() => stub.isRunning).toBe(true);
    gdb.abandon();
    gdb.abandon();
    expect(await stopped).toBe('closed');
    await expect.poll(() => stub.commands.at(-1)).toBe('D;1');
    expect([stub.isRunning, stub.isPhysical, stub.watches, stub.strayStops]).toEqual([true, false, [], 0]);
  });

  test('the last words of a process that ends: the peer has time to halt its target before it hears them', async () => {
    const peer = await startReadingPeer();
    const connection = new GdbConnection(await connectTransport(peer.address), { timeoutMs: 10_000 });
    const waiting = connection.request('?').catch((error: PtmonError) => error.code);
    await soon();
    connection.abandon(['D;1'], true);
    expect(await waiting).toBe('closed');
    expect((await peer.reads()).slice(-2)).toEqual([HALT, frameCommand('D;1')]);
  });

  test.each([
    ['with a watchpoint', { isWatching: true, leaveStopped: false }, true],
    ['without', { isWatching: false, leaveStopped: false }, false],
    ['one that stays as it is', { isWatching: true, leaveStopped: true }, false],
  ])(
    'time for that is given a guest that may run into a watchpoint: %s',
    async (_, { isWatching, leaveStopped }, waits) => {
      const [gdb] = await connect();
      if (isWatching) await gdb.setWriteWatches([watch(1n)]);
      const sleeps = vi.spyOn(Atomics, 'wait');
      onTestFinished(() => sleeps.mockRestore());
      gdb.abandon({ leaveStopped });
      expect(sleeps).toHaveBeenCalledTimes(waits ? 1 : 0);
    },
  );

  test.each([
    [false, frameCommand('D;1')],
    [true, ''],
  ])('a process that ends in the middle of connecting; to leave it stopped: %s', async (leaveStopped, words) => {
    let heard: string | undefined;
    const peer = await startPeer((socket) => {
      let bytes = '';
      socket.on('data', (chunk) => (bytes += chunk.toString('latin1')));
      socket.on('end', () => (heard = bytes));
    });
    // The system has made the connection by the time that `connect` returns; the process hears of it a turn later.
    const program = `
      import { GdbClient } from ${JSON.stringify(new URL('../../../../dist/drivers/qemu/index.js', import.meta.url).href)};
      void GdbClient.connect(${JSON.stringify(peer.address)}, { leaveStopped: ${leaveStopped} });
      process.exit(3);`;
    const [code] = await once(spawn(process.execPath, ['--input-type=module', '--eval', program]), 'exit');
    await expect.poll(() => heard).toBe(words);
    expect(code).toBe(3);
  });
});
