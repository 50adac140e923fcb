/** Sends complete segments of a journal to the broker. The journal is the spool: what the broker has not acknowledged stays there. */
import { makeFolder } from '../../driver/make-folder.ts';
import { batchesOf, linesOfBatch, removeBatch } from '../journal/batch.ts';
import type { Broker } from '../policy/broker.ts';
import { type Connection, connectTo, messageOf } from './connect.ts';
import { messageOfLine } from './message.ts';
import { Spool } from './spool.ts';

export interface SenderOptions {
  readonly journal: string;
  readonly broker: Broker;
  readonly spoolBytes: number;
}

/** Messages that are not acknowledged. */
const WINDOW = 512;

export class Sender {
  readonly #options: SenderOptions;
  readonly #spool: Spool;
  #connection: Connection | undefined;

  constructor(options: SenderOptions) {
    this.#options = options;
    makeFolder(options.journal);
    this.#spool = new Spool(options.journal, options.spoolBytes);
  }

  /** Events that the spool had no room for, since the process began. */
  get dropped(): number {
    return this.#spool.dropped;
  }

  /**
   * Sends all that is complete now. Returns the number of lines.
   *
   * @param isOver asked before each batch
   * @throws PtmonError or the error of the broker where it is away or refuses: call it again later
   */
  async send(isOver: () => boolean = () => false): Promise<number> {
    const { journal, broker } = this.#options;
    this.#spool.limit();
    if (this.#connection?.isClosed !== false) this.#connection = await connectTo(broker);
    let lines = 0;
    for (const batch of batchesOf(journal)) {
      lines += await this.#publish(batch, this.#connection);
      removeBatch(batch);
      this.#spool.limit();
      if (isOver()) break;
    }
    return lines;
  }

  async close(): Promise<void> {
    await this.#connection?.close();
  }

  /** Resolves when the broker has acknowledged all of it. */
  async #publish(batch: string, connection: Connection): Promise<number> {
    const { client, maxBytes } = connection;
    const expect = { streamName: this.#options.broker.stream };
    let [lines, pending, failure]: [number, number, unknown] = [0, 0, undefined];
    let wake = () => {};
    const acknowledgement = () =>
      new Promise<void>((resolve) => {
        wake = resolve;
      });
    const publish = async (subject: string, headers: Readonly<Record<string, string>>, text: string) => {
      try {
        await client.publish(subject, text, { headers: connection.headers(headers), expect });
      } catch (error) {
        failure ??= error;
      }
      pending--;
      wake();
    };
    for (const line of linesOfBatch(batch)) {
      const { subject, headers, text } = messageOfLine(line, maxBytes);
      lines++;
      pending++;
      void publish(subject, headers, text);
      if (pending >= WINDOW) await acknowledgement();
      if (failure !== undefined) break;
    }
    while (pending > 0) await acknowledgement();
    if (failure === undefined) return lines;
    await connection.close();
    const refusal = connection.refusal;
    const message = refusal === undefined ? messageOf(failure) : `${messageOf(failure)} (${refusal})`;
    throw new Error(message, { cause: failure });
  }
}
