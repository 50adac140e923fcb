/** What a failing socket says, in words that tell a person what to do. */
import { statSync } from 'node:fs';
import { PtmonError } from '../../../core/error.ts';
import { openError, systemCode } from '../../../driver/input-file.ts';
import { formatSocketAddress, type SocketAddress } from './socket-address.ts';

/** The system's names: errno(3), getaddrinfo(3). */
const CONNECT_FAULTS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied (run as the user who runs QEMU)',
  EPERM: 'permission denied (run as the user who runs QEMU)',
  EAGAIN: 'its queue of waiting clients is full (another program is connected)',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'the name of the host cannot be looked up now',
  EHOSTUNREACH: 'the host cannot be reached',
  ENETUNREACH: 'the network cannot be reached',
  ETIMEDOUT: 'timed out',
};

const REFUSED = 'connection refused (nobody listens there';

const LOSS_FAULTS: Readonly<Record<string, string>> = {
  ECONNRESET: 'the peer broke the connection',
  EPIPE: 'the peer closed the connection',
  ETIMEDOUT: 'the connection timed out',
};

/** A connection that was not made. */
export function connectError(address: SocketAddress, cause: unknown): PtmonError {
  const code = systemCode(cause);
  // A socket that does not exist is a file that does not.
  if (code === 'ENOENT') return openError(formatSocketAddress(address), cause);
  const fault = code === 'ECONNREFUSED' ? refusal(address) : (CONNECT_FAULTS[code] ?? plainMessage(cause));
  return unavailable(`cannot connect to ${formatSocketAddress(address)}: ${fault}`, cause);
}

function refusal(address: SocketAddress): string {
  if (address.kind === 'tcp') return `${REFUSED})`;
  const isSocket = statSync(address.path, { throwIfNoEntry: false })?.isSocket() ?? true;
  return isSocket ? `${REFUSED}; the program that made this socket has ended)` : 'this file is no socket';
}

/** A peer that took no connection in time. */
export function connectTimeout(address: SocketAddress, timeoutMs: number): PtmonError {
  return unavailable(`cannot connect to ${formatSocketAddress(address)}: timed out after ${timeoutMs} ms`);
}

/** A connection that broke; without a cause the peer closed it in good order. */
export function lossError(address: string, cause?: Error): PtmonError {
  const fault = cause === undefined ? LOSS_FAULTS['EPIPE'] : (LOSS_FAULTS[systemCode(cause)] ?? plainMessage(cause));
  return unavailable(`${address}: ${fault}`, cause);
}

function unavailable(message: string, cause?: unknown): PtmonError {
  return new PtmonError('source-unavailable', message, {}, cause === undefined ? undefined : { cause });
}

function plainMessage(error: unknown): string {
  return error instanceof Error && error.message !== '' ? error.message : String(error);
}
