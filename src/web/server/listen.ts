/** Listens until the signal comes. */
import { serve, type ServerType } from '@hono/node-server';
import type { Hono } from 'hono';
import { PtmonError } from '../../core/error.ts';

export interface ListenOptions {
  readonly host: string;
  /** 0 for any that is free. */
  readonly port: number;
}

export interface Listening {
  readonly port: number;
  /** Ends all connections. */
  close(): Promise<void>;
}

const REASONS: Readonly<Record<string, string>> = {
  EADDRINUSE: 'another program uses this port; give another one, or none for any that is free',
  EACCES: 'this user may not listen on this port; give one from 1024 on',
  EADDRNOTAVAIL: 'this host does not have this address; give one of its own, as 127.0.0.1',
  ENOTFOUND: 'no host has this name; give an address of this host, as 127.0.0.1',
};

/** @throws PtmonError `bad-argument` where the address cannot be listened on, saying why */
export function listen(app: Hono, { host, port }: ListenOptions): Promise<Listening> {
  return new Promise((resolve, reject) => {
    const server: ServerType = serve({ fetch: app.fetch, hostname: host, port }, ({ port: actual }) => {
      resolve({ port: actual, close: () => closeServer(server) });
    });
    server.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code ?? '';
      reject(
        new PtmonError('bad-argument', `${addressOf(host, port)} cannot be listened on: ${REASONS[code] ?? code}`),
      );
    });
  });
}

function closeServer(server: ServerType): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    // Streams do not end by themselves.
    if ('closeAllConnections' in server) server.closeAllConnections();
  });
}

/** `127.0.0.1:8080`, `[::1]:8080`. */
export function addressOf(host: string, port: number): string {
  return `${host.includes(':') ? `[${host}]` : host}:${port}`;
}
