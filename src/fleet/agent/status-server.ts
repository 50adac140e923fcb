/** The health and the metrics of an agent over HTTP, for programs of this host alone. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { PtmonError } from '../../core/error.ts';
import { PROMETHEUS_TYPE } from '../../sinks/prometheus.ts';
import type { AgentStatus } from './agent.ts';
import { isHealthy, metricsText } from './metrics.ts';

const ADDRESS = '127.0.0.1';
const TEXT = 'text/plain; charset=utf-8';

export interface StatusServer {
  readonly port: number;
  close(): Promise<void>;
}

/** @throws PtmonError `bad-argument` where the port is in use */
export async function serveStatus(port: number, status: () => AgentStatus): Promise<StatusServer> {
  const server = createServer((request, response) => answer(request, response, status));
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(new PtmonError('bad-argument', `http.port: ${ADDRESS}:${port} cannot be listened on (${error.code})`)),
    );
    server.listen(port, ADDRESS, resolve);
  });
  return { port: (server.address() as AddressInfo).port, close: () => close(server) };
}

function answer({ method, url, headers }: IncomingMessage, response: ServerResponse, status: () => AgentStatus): void {
  // A page of another site that is open in a browser of this host reaches this port by a name of its own.
  const isOfHere = /^(127\.0\.0\.1|localhost)(:\d+)?$/.test(headers.host ?? '');
  if (!isOfHere || (method !== 'GET' && method !== 'HEAD')) return send(response, isOfHere ? 405 : 403, TEXT, '');
  if (url === '/metrics') return send(response, 200, PROMETHEUS_TYPE, metricsText(status()));
  if (url !== '/healthz') return send(response, 404, TEXT, 'there are /healthz and /metrics\n');
  const now = status();
  send(response, isHealthy(now) ? 200 : 503, 'application/json; charset=utf-8', `${JSON.stringify(now)}\n`);
}

function send(response: ServerResponse, code: number, type: string, body: string): void {
  response.writeHead(code, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
}

async function close(server: Server): Promise<void> {
  server.closeAllConnections();
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
  });
}
