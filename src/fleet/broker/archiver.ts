/**
 * Moves messages of the broker to an archive. It acknowledges them when their files are on the disk. Several archivers share one consumer
 * and one folder; a message that comes again, to whom ever, is recognized there.
 */
import type { Consumer, JetStreamManager, JsMsg } from '@nats-io/jetstream';
import { addLines } from '../archive/add-lines.ts';
import { Tidier } from '../archive/keeper.ts';
import type { JournalLine } from '../journal/read-segment.ts';
import type { Broker } from '../policy/broker.ts';
import { type Connection, connectTo, messageOf } from './connect.ts';
import { lineOfMessage } from './message.ts';

export interface ArchiverOptions {
  readonly archive: string;
  readonly broker: Broker;
  /** How long messages are collected. */
  readonly everyMs: number;
  readonly keepDays?: number | undefined;
}

export interface Round {
  readonly rows: number;
  /** Messages that no agent sends, which are removed. */
  readonly refused: number;
}

const CONSUMER = 'ptmon-archive';
/** Of one round. */
const MAX_MESSAGES = 20_000;
/** Of all archivers. */
const MAX_PENDING = 50 * MAX_MESSAGES;
const WRITING_MS = 20_000;
const MILLISECOND_NS = 1e6;
const CONSUMER_NOT_FOUND = 10_014;

export class Archiver {
  readonly #options: ArchiverOptions;
  readonly #tidier: Tidier;
  #connection: Connection | undefined;
  #consumer: Consumer | undefined;

  constructor(options: ArchiverOptions) {
    this.#options = options;
    this.#tidier = new Tidier(options);
  }

  /** Collects messages, adds them to the archive, and acknowledges them. @throws where the broker is away or the disk is full: call it again later */
  async round(signal: AbortSignal): Promise<Round> {
    const messages = await this.#collect(signal);
    const read = new Map<JournalLine, JsMsg>();
    const refused: JsMsg[] = [];
    for (const message of messages) {
      const line = lineOfMessage(message.subject, (name) => message.headers?.get(name), message.string());
      if (line === undefined) refused.push(message);
      else read.set(line, message);
    }
    const { rows, partitions, left, damage } = await addLines(this.#options.archive, [...read.keys()]);
    this.#tidier.note(partitions);
    for (const message of refused) message.term();
    for (const [line, message] of read) if (!left.has(line)) message.ack();
    if (messages.length > 0) await this.#connection?.flush();
    await this.#tidier.tidy();
    if (damage !== undefined) throw damage;
    return { rows, refused: refused.length };
  }

  async close(): Promise<void> {
    await this.#connection?.close();
  }

  async #collect(signal: AbortSignal): Promise<readonly JsMsg[]> {
    if (this.#consumer === undefined || this.#connection?.isClosed !== false) await this.#connect();
    const { everyMs } = this.#options;
    const collected: JsMsg[] = [];
    let stop = () => {};
    try {
      const fetched = await this.#consumer!.fetch({ max_messages: MAX_MESSAGES, expires: Math.max(1000, everyMs) });
      stop = () => fetched.stop();
      signal.addEventListener('abort', stop);
      // It may have come while this was connecting.
      if (signal.aborted) stop();
      for await (const message of fetched) collected.push(message);
      return collected;
    } catch (error) {
      // What has come is added; the rest comes again.
      if (collected.length > 0) return collected;
      await this.#connection?.close();
      throw new Error(messageOf(error), { cause: error });
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  async #connect(): Promise<void> {
    const { broker, everyMs } = this.#options;
    this.#connection = await connectTo(broker);
    const { manager, client } = this.#connection;
    try {
      await makeConsumer(manager, broker.stream, (everyMs + WRITING_MS) * MILLISECOND_NS);
      this.#consumer = await client.consumers.get(broker.stream, CONSUMER);
    } catch (error) {
      await this.#connection.close();
      throw new Error(`stream ${broker.stream}: ${messageOf(error)}`, { cause: error });
    }
  }
}

/** Archivers share it: the one that collects for the longest time decides. A newer broker refuses to make it again with another time. */
async function makeConsumer(manager: JetStreamManager, stream: string, ackWaitNs: number): Promise<void> {
  try {
    const { config } = await manager.consumers.info(stream, CONSUMER);
    if ((config.ack_wait ?? 0) < ackWaitNs) await manager.consumers.update(stream, CONSUMER, { ack_wait: ackWaitNs });
  } catch (error) {
    if ((error as { code?: number }).code !== CONSUMER_NOT_FOUND) throw error;
    await manager.consumers.add(stream, {
      durable_name: CONSUMER,
      ack_policy: 'explicit',
      ack_wait: ackWaitNs,
      max_ack_pending: MAX_PENDING,
    });
  }
}
