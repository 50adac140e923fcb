/** Connects to a gdbstub. Whatever breaks it off, the guest runs on afterwards if it ran before. */
import type { PtmonError } from '../../../core/error.ts';
import type { SocketAddress } from '../transport/socket-address.ts';
import { type ConnectOptions, connectTransport, DEFAULT_TIMEOUT_MS } from '../transport/socket-transport.ts';
import { GdbConnection } from './connection.ts';
import { introduce, type Introduction } from './handshake.ts';
import { DETACH } from './leave.ts';
import { bytesOfCharacters, frameCommand } from './packet/packet-encoder.ts';

export interface GdbOptions extends ConnectOptions {
  /** Commands that may be under way at once; 64 by default. */
  readonly window?: number;
  /** Called once when the peer is gone; not after `close` or `detach`. */
  readonly onLost?: (error: PtmonError) => void;
  /** The guest was stopped before, and must be if connecting fails: QEMU may accept the connection later, and stops it then. */
  readonly leaveStopped?: boolean;
}

export interface OpenedConnection {
  readonly connection: GdbConnection;
  readonly introduction: Introduction;
}

/** @throws as `GdbClient.connect` */
export async function openConnection(address: string | SocketAddress, options: GdbOptions): Promise<OpenedConnection> {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, window, signal, onLost, leaveStopped = false } = options;
  signal?.throwIfAborted();
  // The signal is not passed on: a connection that waits for QEMU to take it stays in QEMU's queue when it is closed.
  const finalPackets = leaveStopped ? undefined : bytesOfCharacters(frameCommand(DETACH));
  const transport = await connectTransport(address, { timeoutMs, ...(finalPackets && { finalPackets }) });
  let isReady = false;
  const connection = new GdbConnection(transport, {
    timeoutMs,
    ...(window !== undefined && { window }),
    onLost: (error) => {
      if (isReady) onLost?.(error);
    },
  });
  // QEMU may take this connection once its other client has left. It stops the guest then, and finds this packet.
  const giveUp = () => (leaveStopped ? connection.close() : connection.abandon([DETACH]));
  signal?.addEventListener('abort', giveUp, { once: true });
  process.on('exit', giveUp);
  try {
    signal?.throwIfAborted();
    const introduction = await introduce(connection, timeoutMs);
    isReady = true;
    return { connection, introduction };
  } catch (error) {
    // What is no gdbstub has no use for the packet.
    if (connection.noiseSample === '') giveUp();
    else connection.close();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', giveUp);
    process.off('exit', giveUp);
  }
}
