/** A server on a real socket that does as a test says, and lets go of everything at its end. */
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { onTestFinished } from 'vitest';

export interface Peer {
  /** As `connectTransport` takes it. */
  readonly address: string;
  readonly sockets: readonly Socket[];
}

/** Listens until the test ends; `serve` is called with each connection. */
export async function startPeer(serve: (socket: Socket) => void, kind: 'unix' | 'tcp' = 'unix'): Promise<Peer> {
  const sockets: Socket[] = [];
  const server = createServer((socket) => {
    sockets.push(socket);
    // Clients under test break connections in every way.
    socket.on('error', () => {});
    serve(socket);
    // What nobody reads hides the end.
    socket.resume();
  });
  const folder = kind === 'unix' ? temporaryFolder() : undefined;
  const path = folder === undefined ? undefined : join(folder, 'peer.sock');
  await new Promise<void>((resolve) => {
    if (path === undefined) server.listen(0, '127.0.0.1', resolve);
    else server.listen(path, resolve);
  });
  onTestFinished(() => {
    server.close();
    for (const socket of sockets) socket.destroy();
  });
  const address = path ?? `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return { address, sockets };
}

/** A process that listens and never accepts: it blocks its own event loop. Returns where it listens. */
export async function startDeafPeer(kind: 'unix' | 'tcp', forMs = 2 ** 30): Promise<string> {
  const where = kind === 'tcp' ? { port: 0, host: '127.0.0.1' } : { path: join(temporaryFolder(), 'deaf.sock') };
  const child = startProcess(`
    const server = require('node:net').createServer().listen({ ...${JSON.stringify(where)}, backlog: 1 }, () => {
      require('node:fs').writeSync(1, JSON.stringify(server.address()));
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ${forMs});
    });`);
  const [said] = (await once(child.stdout, 'data')) as [Buffer];
  const address = JSON.parse(said.toString()) as string | AddressInfo;
  return typeof address === 'string' ? address : `127.0.0.1:${address.port}`;
}

/** A process that acknowledges once and reads, also while this one is blocked. `reads` is each of its reads up to the end. */
export async function startReadingPeer(): Promise<{ readonly address: string; reads(): Promise<string[]> }> {
  const address = join(temporaryFolder(), 'reading.sock');
  const child = startProcess(`
    const reads = [];
    require('node:net').createServer((socket) => {
      socket.write('+');
      socket.on('data', (chunk) => reads.push(chunk.toString('latin1')));
      socket.on('end', () => console.log(JSON.stringify(reads)));
    }).listen(${JSON.stringify(address)}, () => console.log('ready'));`);
  const said = createInterface(child.stdout)[Symbol.asyncIterator]();
  await said.next();
  return { address, reads: async () => JSON.parse((await said.next()).value as string) as string[] };
}

function startProcess(program: string): ChildProcessByStdio<null, Readable, null> {
  const child = spawn(process.execPath, ['--eval', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  onTestFinished(() => void child.kill('SIGKILL'));
  return child;
}

/** An empty folder that is gone when the test ends. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-test-'));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}
