/** The connection to the plugin: a queue of its records, and requests. When it ends, the plugin releases the guest. */
import { PtmonError } from '../../../core/error.ts';
import { connectTransport, DEFAULT_TIMEOUT_MS } from '../transport/socket-transport.ts';
import type { Transport } from '../transport/transport.ts';
import {
  aliveRequest,
  BUSY,
  captureRequest,
  type Configuration,
  configureRequest,
  HELLO,
  type PluginRecord,
  PROTOCOL_VERSION,
  READY,
  RecordDecoder,
  releaseRequest,
  SNAPSHOT,
  UNREADABLE,
} from './protocol.ts';

/** The plugin ends the connection when it holds the guest and has heard nothing for two seconds. */
const ALIVE_MS = 400;
/** Records that wait to be processed: beyond that the plugin waits, and then the guest. */
const MAX_QUEUE = 1 << 16;

interface Waiting {
  readonly isWanted: (record: PluginRecord) => boolean;
  readonly resolve: (record: PluginRecord) => void;
  readonly reject: (error: PtmonError) => void;
}

export class PluginConnection {
  readonly #transport: Transport;
  readonly #decoder = new RecordDecoder();
  #queue: PluginRecord[] = [];
  #next = 0;
  #waiting: Waiting[] = [];
  #wake: (() => void) | undefined;
  #isPaused = false;
  #maxQueue = MAX_QUEUE;
  #end: PtmonError | undefined;
  readonly #keepAlive: NodeJS.Timeout;

  private constructor(transport: Transport) {
    this.#transport = transport;
    transport.start({ bytes: (chunk) => this.#receive(chunk), lost: (error) => this.#finish(lossOf(error)) });
    this.#keepAlive = setInterval(() => transport.send(aliveRequest()), ALIVE_MS).unref();
  }

  /**
   * @throws PtmonError `source-unavailable` where there is no such socket, or another client is connected; `corrupt-input` where it is not
   *   the plugin's; as `connectTransport`
   */
  static async connect(address: string, signal?: AbortSignal): Promise<PluginConnection> {
    const connection = new PluginConnection(await connectTransport(address, { ...(signal && { signal }) }));
    try {
      await connection.#greet(signal);
      return connection;
    } catch (error) {
      connection.close();
      throw error;
    }
  }

  /** The record that is next to be processed; undefined where none has arrived. */
  peek(): PluginRecord | undefined {
    return this.#queue[this.#next];
  }

  /** Nothing more arrives, and nothing waits. */
  get hasEnded(): boolean {
    return this.#end !== undefined && this.#next === this.#queue.length;
  }

  /** From now on it does not matter how many records wait: the plugin sends the last ones. */
  receiveAll(): void {
    this.#maxQueue = Infinity;
    this.#pause(false);
  }

  /** Takes that record from the queue. */
  take(): void {
    this.#next++;
    if (this.#next < this.#queue.length) {
      if (this.#next < MAX_QUEUE / 2) return;
      this.#queue = this.#queue.slice(this.#next);
    } else {
      this.#queue = [];
    }
    this.#next = 0;
    if (this.#isPaused && this.#queue.length < MAX_QUEUE / 2) this.#pause(false);
  }

  /** Those that are still to be processed. */
  pending(): readonly PluginRecord[] {
    return this.#queue.slice(this.#next);
  }

  /**
   * Until there is a record, the connection ends, or `signal` is aborted; at most so many milliseconds.
   *
   * @throws PtmonError where the connection has ended, and no record is left
   */
  async wait(ms: number, signal: AbortSignal): Promise<void> {
    if (this.#next < this.#queue.length || signal.aborted) return;
    if (this.#end !== undefined) throw this.#end;
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', done);
        this.#wake = undefined;
        resolve();
      };
      const timer = setTimeout(done, ms);
      signal.addEventListener('abort', done);
      this.#wake = done;
    });
  }

  /** Done when all code that the guest runs is instrumented. */
  async configure(configuration: Configuration, signal?: AbortSignal): Promise<void> {
    const ready = this.#answer(({ kind }) => kind === READY, signal);
    this.#transport.send(configureRequest(configuration));
    await ready;
  }

  /**
   * Has a table recorded from now on.
   *
   * @returns its content; undefined where it is not in the guest's RAM
   */
  async capture(pa: number, level: number, signal?: AbortSignal): Promise<PluginRecord | undefined> {
    const isWanted = (record: PluginRecord) =>
      record.pa === pa && (record.kind === SNAPSHOT || record.kind === UNREADABLE);
    const answer = this.#answer(isWanted, signal);
    this.capturing(pa, level);
    const record = await answer;
    return record.kind === SNAPSHOT ? record : undefined;
  }

  /** As `capture`; the answer is a record like others. */
  capturing(pa: number, level: number): void {
    this.#transport.send(captureRequest(pa, level));
  }

  /** Ends the record of a table, unless it was captured again since. */
  release(pa: number, capture: number): void {
    this.#transport.send(releaseRequest(pa, capture));
  }

  close(): void {
    clearInterval(this.#keepAlive);
    this.#transport.close();
    this.#finish(new PtmonError('closed', `the connection to the plugin at ${this.#transport.address} is closed`));
  }

  async #greet(signal: AbortSignal | undefined): Promise<void> {
    const { address } = this.#transport;
    const { kind, sequence: version } = await this.#answer(() => true, signal);
    this.take();
    if (kind === BUSY) {
      const what = `${address}: another ptmon watches this guest by the plugin; end that one first`;
      throw new PtmonError('source-unavailable', what);
    }
    if (kind !== HELLO) throw new PtmonError('corrupt-input', `${address} is not the socket of ptmon's QEMU plugin`);
    if (version === PROTOCOL_VERSION) return;
    const what = `${address}: the plugin speaks version ${version} of its protocol, this ptmon ${PROTOCOL_VERSION}`;
    throw new PtmonError(
      'source-unavailable',
      `${what}: build it anew (ptmon doctor --build-plugin FILE) and start QEMU with it`,
    );
  }

  /** The first record of a kind that arrives from now on. It stays in the queue. */
  #answer(isWanted: (record: PluginRecord) => boolean, signal: AbortSignal | undefined): Promise<PluginRecord> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) return reject(this.#end);
      signal?.throwIfAborted();
      const stopWaiting = () => {
        clearTimeout(timer);
        signal?.removeEventListener('abort', abort);
        this.#waiting = this.#waiting.filter((each) => each !== waiting);
      };
      const waiting: Waiting = {
        isWanted,
        resolve: (record) => (stopWaiting(), resolve(record)),
        reject: (error) => (stopWaiting(), reject(error)),
      };
      const abort = () => waiting.reject(signal?.reason as PtmonError);
      const timer = setTimeout(() => waiting.reject(this.#silent()), DEFAULT_TIMEOUT_MS);
      signal?.addEventListener('abort', abort, { once: true });
      this.#waiting.push(waiting);
      this.#pause(false);
    });
  }

  #silent(): PtmonError {
    const what = `the plugin at ${this.#transport.address} has not answered within ${DEFAULT_TIMEOUT_MS / 1000} s`;
    return new PtmonError('source-unavailable', `${what}: is the address that of QEMU's -plugin …,socket=PATH?`);
  }

  #receive(chunk: Uint8Array): void {
    for (const record of this.#decoder.push(chunk)) {
      this.#queue.push(record);
      for (const waiting of this.#waiting) if (waiting.isWanted(record)) waiting.resolve(record);
    }
    if (this.#queue.length - this.#next > this.#maxQueue && this.#waiting.length === 0) this.#pause(true);
    this.#wake?.();
  }

  #pause(isPaused: boolean): void {
    if (this.#isPaused === isPaused) return;
    this.#isPaused = isPaused;
    this.#transport.pause?.(isPaused);
  }

  #finish(error: PtmonError): void {
    this.#end ??= error;
    for (const waiting of this.#waiting) waiting.reject(this.#end);
    this.#wake?.();
  }
}

function lossOf(error: PtmonError): PtmonError {
  const why =
    'the plugin detaches when QEMU ends, or when the guest would have to wait because ptmon has been suspended for 2 s';
  return new PtmonError(error.code, `${error.message}: ${why}`, {}, { cause: error });
}
