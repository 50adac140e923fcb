/** Addresses of sockets as QEMU and gdb write them. */
import { existsSync } from 'node:fs';
import { PtmonError } from '../../../core/error.ts';

/** Longest path of a unix socket on Linux, without its terminating zero: unix(7). A longer one would be cut silently. */
const MAX_UNIX_PATH_BYTES = 107;

export type SocketAddress =
  | { readonly kind: 'unix'; readonly path: string }
  | { readonly kind: 'tcp'; readonly host: string; readonly port: number };

/**
 * Reads `unix:path`, a path, `tcp:host:port` or `host:port`. An IPv6 host stands in brackets; an empty host, as in gdb's `:1234`, is
 * this one. Any other text is a path if that exists.
 *
 * @throws PtmonError `bad-argument`
 */
export function parseSocketAddress(text: string): SocketAddress {
  if (text.startsWith('unix:')) return unixAddress(text.slice('unix:'.length), text);
  if (text.startsWith('tcp:')) return tcpAddress(text.slice('tcp:'.length), text);
  if (/^\.{0,2}\//.test(text) || existsSync(text)) return unixAddress(text, text);
  return tcpAddress(text, text);
}

/** As `parseSocketAddress` reads it. */
export function formatSocketAddress(address: SocketAddress): string {
  if (address.kind === 'unix') return `unix:${address.path}`;
  return `tcp:${address.host.includes(':') ? `[${address.host}]` : address.host}:${address.port}`;
}

function unixAddress(path: string, text: string): SocketAddress {
  if (path === '' || path.includes('\0')) throw malformed(text);
  const byteLength = new TextEncoder().encode(path).length;
  if (byteLength > MAX_UNIX_PATH_BYTES) {
    throw new PtmonError(
      'bad-argument',
      `the path of the unix socket ${path} has ${byteLength} bytes; the system allows ${MAX_UNIX_PATH_BYTES}`,
    );
  }
  return { kind: 'unix', path };
}

function tcpAddress(hostAndPort: string, text: string): SocketAddress {
  const match = /^(?:\[([^\]]+)\]|([^:[\]/\s]*)):(\d{1,5})$/.exec(hostAndPort);
  if (match === null) throw malformed(text);
  const port = Number(match[3]);
  if (port < 1 || port > 65535) throw malformed(text);
  return { kind: 'tcp', host: match[1] ?? (match[2] || 'localhost'), port };
}

function malformed(text: string): PtmonError {
  return new PtmonError(
    'bad-argument',
    `"${text}" is neither a file nor the address of a socket; write unix:PATH, PATH, tcp:HOST:PORT or HOST:PORT`,
  );
}
