/** Transports over unix and TCP sockets. */
import { writeSync } from 'node:fs';
import { connect as connectSocket, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { PtmonError } from '../../../core/error.ts';
import { formatSocketAddress, parseSocketAddress, type SocketAddress } from './socket-address.ts';
import { connectError, connectTimeout, lossError } from './socket-error.ts';
import type { Transport, TransportReceiver } from './transport.ts';

/** Long enough for a host that is busy, short enough for a person who waits. */
export const DEFAULT_TIMEOUT_MS = 5000;
const QUEUE_MS = 20;

export interface ConnectOptions {
  /** How long the peer may take to accept; 5,000 by default. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

export interface TransportOptions extends ConnectOptions {
  /** Sent to the peer where connecting is given up, or this process ends, in the middle of it. */
  readonly finalPackets?: Uint8Array;
}

/**
 * Connects to a socket, given as `parseSocketAddress` reads it.
 *
 * @throws PtmonError `bad-argument` for a malformed address, `source-unavailable` when there is no connection; the reason of
 *   `signal` when it is aborted
 */
export async function connectTransport(
  address: string | SocketAddress,
  options: TransportOptions = {},
): Promise<Transport> {
  const { timeoutMs = DEFAULT_TIMEOUT_MS } = options;
  for (const startMs = performance.now(); ; await sleep(QUEUE_MS)) {
    const leftMs = timeoutMs - (performance.now() - startMs);
    try {
      return await connectOnce(address, { ...options, timeoutMs: Math.max(1, Math.ceil(leftMs)) });
    } catch (error) {
      // Where its queue is full, connect(2) waits until the peer has taken those before.
      if (leftMs < QUEUE_MS || causeOf(error)?.code !== 'EAGAIN') throw error;
    }
  }
}

function causeOf(error: unknown): NodeJS.ErrnoException | undefined {
  return error instanceof PtmonError && error.cause instanceof Error ? error.cause : undefined;
}

function connectOnce(
  address: string | SocketAddress,
  { timeoutMs = DEFAULT_TIMEOUT_MS, signal, finalPackets }: TransportOptions,
): Promise<Transport> {
  return new Promise((resolve, reject) => {
    signal?.throwIfAborted();
    const target = typeof address === 'string' ? parseSocketAddress(address) : address;
    const socket = connectSocket(
      target.kind === 'unix' ? { path: target.path } : { host: target.host, port: target.port },
    );
    const timer = setTimeout(() => fail(connectTimeout(target, timeoutMs)), timeoutMs);
    const abort = () => fail(signal?.reason);
    const leave = () => {
      if (finalPackets !== undefined) writeAtOnce(socket, finalPackets);
      // What is not connected yet is not to be connected while this process ends.
      socket.destroy();
    };
    const settle = () => {
      process.off('exit', leave);
      clearTimeout(timer);
      signal?.removeEventListener('abort', abort);
      socket.off('error', refused).off('connect', connected);
    };
    const fail = (reason: unknown) => {
      settle();
      // A connection attempt that is given up may still fail.
      socket.on('error', () => {});
      leave();
      reject(reason);
    };
    const refused = (error: Error) => fail(connectError(target, error));
    const connected = () => {
      settle();
      resolve(new SocketTransport(socket, formatSocketAddress(target)));
    };
    process.on('exit', leave);
    signal?.addEventListener('abort', abort, { once: true });
    socket.on('error', refused).on('connect', connected);
  });
}

/**
 * Writes to a socket that Node has not seen connected yet. The system may have: the peer has taken the connection by then, and Node
 * would keep what is written to it for a turn of the event loop that does not come.
 */
function writeAtOnce(socket: Socket, bytes: Uint8Array): void {
  const { fd = -1 } = (socket as { readonly _handle?: { readonly fd?: number } | null })._handle ?? {};
  try {
    if (fd >= 0) writeSync(fd, bytes);
  } catch {
    // It is not connected.
  }
}

class SocketTransport implements Transport {
  readonly address: string;
  readonly #socket: Socket;
  #receiver: TransportReceiver | undefined;
  #fault: Error | undefined;
  #open = true;

  constructor(socket: Socket, address: string) {
    this.address = address;
    this.#socket = socket;
    socket.setNoDelay(true);
    socket.on('error', (error) => (this.#fault = error));
    socket.on('close', () => this.#lose());
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver;
    // Not before there is a receiver: a socket without a listener keeps its bytes, and notices nothing.
    this.#socket.on('data', (chunk: Uint8Array) => {
      if (this.#open) receiver.bytes(chunk);
    });
    this.#socket.on('end', () => this.#lose());
    if (this.#socket.destroyed) queueMicrotask(() => this.#lose());
  }

  send(bytes: Uint8Array): void {
    if (this.#open && this.#socket.writable) this.#socket.write(bytes);
  }

  pause(isPaused: boolean): void {
    if (isPaused) this.#socket.pause();
    else this.#socket.resume();
  }

  close(): void {
    this.#open = false;
    // A peer that does not read must not keep this process alive.
    this.#socket.unref();
    this.#socket.destroySoon();
  }

  #lose(): void {
    if (!this.#open || this.#receiver === undefined) return;
    this.#open = false;
    this.#socket.destroy();
    this.#receiver.lost(lossError(this.address, this.#fault));
  }
}
