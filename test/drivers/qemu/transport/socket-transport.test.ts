import { spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { PtmonError } from '../../../../src/core/error.ts';
import { connectTransport } from '../../../../src/drivers/qemu/transport/socket-transport.ts';
import type { Transport } from '../../../../src/drivers/qemu/transport/transport.ts';
import { startDeafPeer, startPeer, temporaryFolder } from './peer.ts';

/** What a transport delivered, and how it ended. */
function listen(transport: Transport) {
  const chunks: Uint8Array[] = [];
  const losses: PtmonError[] = [];
  const lost = new Promise<PtmonError>((resolve) => {
    transport.start({
      bytes: (chunk) => chunks.push(chunk),
      lost: (error) => {
        losses.push(error);
        resolve(error);
      },
    });
  });
  return { lost, losses, text: () => Buffer.concat(chunks).toString() };
}

/** A turn of the event loop and more, for what must not happen. */
const soon = () => new Promise((resolve) => setTimeout(resolve, 20));

describe.each(['unix', 'tcp'] as const)('over %s', (kind) => {
  test('bytes arrive on both sides, in order', async () => {
    const peer = await startPeer((socket) => socket.on('data', (chunk) => socket.write(`<${chunk.toString()}>`)), kind);
    const transport = await connectTransport(peer.address);
    expect(transport.address).toBe(`${kind}:${peer.address}`);
    const { text } = listen(transport);
    transport.send(Buffer.from('one'));
    await expect.poll(text).toBe('<one>');
    transport.send(Buffer.from('two'));
    await expect.poll(text).toBe('<one><two>');
    transport.close();
  });

  test('what came before anyone listened is delivered', async () => {
    const peer = await startPeer((socket) => socket.end('early'), kind);
    const transport = await connectTransport(peer.address);
    await soon();
    const { text, lost } = listen(transport);
    await lost;
    expect(text()).toBe('early');
  });

  test('a peer that closes is said once, with its address; sending to it does nothing', async () => {
    const peer = await startPeer((socket) => socket.end(), kind);
    const transport = await connectTransport(peer.address);
    const { lost, losses } = listen(transport);
    expect(await lost).toMatchObject({
      code: 'source-unavailable',
      message: `${kind}:${peer.address}: the peer closed the connection`,
    });
    transport.send(Buffer.from('anyone?'));
    transport.close();
    await soon();
    expect(losses).toHaveLength(1);
  });

  test('what was sent before close arrives; close may be called again, and nothing is heard after it', async () => {
    let received = '';
    const peer = await startPeer((socket: Socket) => {
      socket.on('data', (chunk) => (received += chunk.toString()));
      socket.on('end', () => socket.write('late'));
    }, kind);
    const transport = await connectTransport(peer.address);
    const { losses, text } = listen(transport);
    const large = 'x'.repeat(3_000_000);
    transport.send(Buffer.from(large));
    transport.close();
    transport.close();
    transport.send(Buffer.from('after'));
    await expect.poll(() => received.length).toBe(large.length);
    await soon();
    expect([losses, text()]).toEqual([[], '']);
  });
});

describe('a connection that cannot be made is said in words', () => {
  test('too late: the peer has taken it, and hears the last words', async () => {
    let heard = '';
    const peer = await startPeer((socket) => socket.on('data', (chunk) => (heard += chunk.toString())));
    // What Node comes to next are its timers.
    await new Promise(setImmediate);
    const connected = connectTransport(peer.address, { timeoutMs: 5, finalPackets: Buffer.from('farewell') });
    // A process that does much else: the time is over before it looks at the socket.
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 20);
    await expect(connected).rejects.toMatchObject({ code: 'source-unavailable' });
    await expect.poll(() => heard).toBe('farewell');
  });

  test('no such file', async () => {
    const path = join(temporaryFolder(), 'none.sock');
    await expect(connectTransport(path)).rejects.toMatchObject({
      name: 'PtmonError',
      code: 'source-unavailable',
      message: `unix:${path} does not exist`,
      cause: { code: 'ENOENT' },
    });
  });

  test('a file that nobody listens at', async () => {
    const path = join(temporaryFolder(), 'dead.sock');
    const listens = `require('net').createServer().listen('${path}', () => process.kill(process.pid, 'SIGKILL'))`;
    spawnSync(process.execPath, ['--eval', listens]);
    await expect(connectTransport(path)).rejects.toMatchObject({
      code: 'source-unavailable',
      message: expect.stringMatching(`cannot connect to unix:${path}: connection refused .*has ended`) as string,
    });
    const file = join(temporaryFolder(), 'vm.log');
    writeFileSync(file, '');
    await expect(connectTransport(file)).rejects.toMatchObject({
      code: 'source-unavailable',
      message: `cannot connect to unix:${file}: this file is no socket`,
    });
  });

  test.each(['127.0.0.1', 'localhost'])('a port of %s that nobody listens at', async (host) => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as { port: number };
    server.close();
    await once(server, 'close');
    await expect(connectTransport(`${host}:${port}`)).rejects.toMatchObject({
      code: 'source-unavailable',
      message: `cannot connect to tcp:${host}:${port}: connection refused (nobody listens there)`,
    });
  });

  test('a malformed address', async () => {
    await expect(connectTransport('nonsense')).rejects.toMatchObject({ code: 'bad-argument' });
  });

  test('a peer that accepts nobody, over TCP: no answer in time', async () => {
    const address = await startDeafPeer('tcp');
    const fault = await firstFault(() => connectTransport(address, { timeoutMs: 100 }));
    expect(fault).toMatchObject({
      code: 'source-unavailable',
      message: `cannot connect to tcp:${address}: timed out after 100 ms`,
    });
  });

  test('a peer that accepts nobody, over a unix socket: its queue is full', async () => {
    const address = await startDeafPeer('unix');
    const fault = await firstFault(() => connectTransport(address, { timeoutMs: 100 }));
    expect(fault).toMatchObject({
      code: 'source-unavailable',
      message: `cannot connect to unix:${address}: its queue of waiting clients is full (another program is connected)`,
    });
  });
});

test('a peer whose queue is full for a moment is waited for', async () => {
  const address = await startDeafPeer('unix', 500);
  const transports = await Promise.all(Array.from({ length: 10 }, () => connectTransport(address)));
  for (const transport of transports) transport.close();
});

/** Connects until that fails: the system accepts a few connections itself. */
async function firstFault(connect: () => Promise<Transport>): Promise<unknown> {
  for (let attempt = 0; attempt < 10; attempt++) {
    try {
      const transport = await connect();
      onTestFinished(() => transport.close());
    } catch (error) {
      return error;
    }
  }
  return undefined;
}

describe('an abort ends the attempt with its reason', () => {
  test('before it', async () => {
    const peer = await startPeer(() => {});
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(connectTransport(peer.address, { signal })).rejects.toThrow('enough');
  });

  test('during it', async () => {
    const peer = await startPeer(() => {});
    const controller = new AbortController();
    const connecting = connectTransport(peer.address, { signal: controller.signal });
    controller.abort(new Error('enough'));
    await expect(connecting).rejects.toThrow('enough');
  });
});

test('a peer that breaks the connection is said so', async () => {
  const peer = await startPeer((socket) => socket.once('data', () => socket.resetAndDestroy()), 'tcp');
  const transport = await connectTransport(peer.address);
  const { lost } = listen(transport);
  transport.send(Buffer.from('x'));
  expect(await lost).toMatchObject({
    code: 'source-unavailable',
    message: `tcp:${peer.address}: the peer broke the connection`,
    cause: { code: 'ECONNRESET' },
  });
});
