/** What a plugin of QEMU would send. */
import { createServer, type Socket } from 'node:net';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { HELLO, PROTOCOL_VERSION, SNAPSHOT } from '../../../../src/drivers/qemu/plugin/protocol.ts';
import { temporaryFolder } from '../transport/peer.ts';

/** A record as `struct record` of the plugin has it. */
export function record(kind: number, { sequence = 0, pa = 0n, value = 0n, capture = 0, vcpu = 1 } = {}): Buffer {
  const bytes = Buffer.alloc(32);
  bytes[0] = kind;
  bytes.writeUInt16LE(vcpu, 2);
  bytes.writeUInt32LE(sequence, 4);
  bytes.writeUInt32LE(capture, 12);
  bytes.writeBigUInt64LE(pa, 16);
  bytes.writeBigUInt64LE(value, 24);
  return kind === SNAPSHOT ? Buffer.concat([bytes, Buffer.alloc(4096, 0x5a)]) : bytes;
}

/** @returns the path of a socket at which a peer does this */
export function peer(greet: (socket: Socket) => void): string {
  const path = join(temporaryFolder(), 'socket');
  const server = createServer((socket) => {
    socket.on('error', () => {});
    greet(socket);
  }).listen(path);
  onTestFinished(() => void server.close());
  return path;
}

export const HELLO_RECORD = record(HELLO, { sequence: PROTOCOL_VERSION });
