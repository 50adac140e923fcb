/** A connection to the broker, by the client of NATS, which is loaded only here: it is no dependency of the package. */
import { readFileSync } from 'node:fs';
import type { JetStreamClient, JetStreamManager } from '@nats-io/jetstream';
import type { NatsConnection } from '@nats-io/transport-node';
import { errorText, PtmonError } from '../../core/error.ts';
import type { Broker } from '../policy/broker.ts';

const TIMEOUT_MS = 5000;
const SECOND_NS = 1e9;
const STREAM_NOT_FOUND = 10_059;
const NO_ROOM_FOR_STREAM = 10_047;
/** The broker forgets ids of messages after so long; the archive never does. */
const DUPLICATES_S = 120;

export interface Connection {
  readonly client: JetStreamClient;
  readonly manager: JetStreamManager;
  readonly maxBytes: number;
  /** Whether it is of no use any more. It is not made again by itself: what was under way on it is sent anew. */
  readonly isClosed: boolean;
  /** What the broker has refused last, such as a subject. */
  readonly refusal: string | undefined;
  /** Encodes what goes with a message. */
  headers(fields: Readonly<Record<string, string>>): ReturnType<typeof import('@nats-io/transport-node').headers>;
  /** Resolves when all that was sent has reached the broker. */
  flush(): Promise<void>;
  close(): Promise<void>;
}

/** Connects, and makes the stream where there is none. @throws PtmonError `source-unavailable`, which says what is wrong */
export async function connectTo(broker: Broker): Promise<Connection> {
  const [transport, jetstream] = await loadClient();
  const { servers, stream } = broker;
  let connection: NatsConnection;
  try {
    connection = await transport.connect({
      servers: [...servers],
      name: 'ptmon',
      ...secretsOf(broker, transport),
      reconnect: false,
      maxReconnectAttempts: 0,
      timeout: TIMEOUT_MS,
      pingInterval: TIMEOUT_MS,
      maxPingOut: 1,
    });
  } catch (error) {
    throw unavailable(`${servers.join(', ')}: ${messageOf(error)}`, error);
  }
  try {
    const manager = await jetstream.jetstreamManager(connection, { timeout: TIMEOUT_MS });
    const maxBytes = Math.min(await makeStream(manager, broker), connection.info?.max_payload ?? 2 ** 20);
    const client = jetstream.jetstream(connection, { timeout: TIMEOUT_MS });
    return wrap({ connection, client, manager, maxBytes }, transport);
  } catch (error) {
    await connection.close();
    throw unavailable(`${servers.join(', ')}: stream ${stream}: ${messageOf(error)}`, error);
  }
}

interface Parts extends Pick<Connection, 'client' | 'manager' | 'maxBytes'> {
  readonly connection: NatsConnection;
}

function wrap(
  { connection, client, manager, maxBytes }: Parts,
  { headers }: typeof import('@nats-io/transport-node'),
): Connection {
  let refusal: string | undefined;
  void (async () => {
    for await (const status of connection.status()) if (status.type === 'error') refusal = messageOf(status.error);
  })();
  return {
    client,
    manager,
    maxBytes,
    get isClosed() {
      return connection.isClosed();
    },
    get refusal() {
      return refusal;
    },
    headers(fields) {
      const made = headers();
      for (const [name, value] of Object.entries(fields)) made.set(name, value);
      return made;
    },
    flush: () => connection.flush(),
    close: () => connection.close(),
  };
}

/** Returns how large a message may be. What archivers have read is removed; where it is full, senders wait. So nothing is lost in it without a trace. */
async function makeStream(manager: JetStreamManager, { stream, streamMiB }: Broker): Promise<number> {
  try {
    const { config } = await manager.streams.info(stream);
    return config.max_msg_size > 0 ? config.max_msg_size : Infinity;
  } catch (error) {
    if ((error as { code?: number }).code !== STREAM_NOT_FOUND) throw error;
  }
  try {
    await manager.streams.add({
      name: stream,
      subjects: ['ptmon.*.*.*'],
      retention: 'workqueue',
      discard: 'new',
      max_bytes: streamMiB * 2 ** 20,
      duplicate_window: DUPLICATES_S * SECOND_NS,
    });
  } catch (error) {
    if ((error as { code?: number }).code !== NO_ROOM_FOR_STREAM) throw error;
    const how = 'set a smaller streamMiB in the policy, or a larger max_file_store in the broker';
    throw new Error(`the broker has no room for a stream of ${streamMiB} MiB: ${how}`, { cause: error });
  }
  return Infinity;
}

function secretsOf(
  { servers, credentials, token, password, tls }: Broker,
  transport: typeof import('@nats-io/transport-node'),
): Record<string, unknown> {
  const secret = (path: string) => readFileSync(path, 'utf8').trim();
  const authenticator: unknown[] = [];
  if (credentials !== undefined) authenticator.push(transport.credsAuthenticator(readFileSync(credentials)));
  if (token !== undefined) authenticator.push(transport.tokenAuthenticator(secret(token)));
  if (password !== undefined) {
    const [user = '', ...rest] = secret(password).split(':');
    authenticator.push(transport.usernamePasswordAuthenticator(user, rest.join(':')));
  }
  const { ca, cert, key } = tls ?? {};
  const files = { ...(ca && { caFile: ca }), ...(cert && { certFile: cert }), ...(key && { keyFile: key }) };
  // With a `tls`, though it be empty, the client refuses a broker that has no TLS, before it sends a secret.
  const isSecure = tls !== undefined || servers.some((server) => /^tls:/i.test(server));
  return { ...(authenticator.length > 0 && { authenticator }), ...(isSecure && { tls: files }) };
}

async function loadClient() {
  try {
    return await Promise.all([import('@nats-io/transport-node'), import('@nats-io/jetstream')]);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ERR_MODULE_NOT_FOUND') throw error;
    const packages = '@nats-io/transport-node@3.3.1 @nats-io/jetstream@3.3.1';
    throw unavailable(
      `a broker needs the client of NATS, which is not installed beside ptmon: npm install ${packages} (with -g, where ptmon is installed so)`,
      error,
    );
  }
}

export function messageOf(error: unknown): string {
  const message = errorText(error);
  const cause = error instanceof Error && error.cause instanceof Error ? error.cause.message : '';
  return cause === '' || message.includes(cause) ? message : `${message} (${cause})`;
}

function unavailable(message: string, cause: unknown): PtmonError {
  return new PtmonError('source-unavailable', message, {}, { cause });
}
