/** A client of QMP: the codec over a transport, and time limits. */
import { PtmonError } from '../../../core/error.ts';
import { DETACH } from '../gdb/leave.ts';
import { bytesOfCharacters, frameCommand, framePacket } from '../gdb/packet/packet-encoder.ts';
import type { SocketAddress } from '../transport/socket-address.ts';
import { connectVirsh, isVirshAddress } from '../transport/virsh-transport.ts';
import { type ConnectOptions, connectTransport, DEFAULT_TIMEOUT_MS } from '../transport/socket-transport.ts';
import type { Transport } from '../transport/transport.ts';
import { encodeQmpCommand, QmpDecoder } from './codec.ts';
import type { QmpEvent, QmpGreeting, QmpMessage, QmpObject } from './messages.ts';
import { PendingCommands } from './pending-commands.ts';

export interface QmpOptions extends ConnectOptions {
  /** Called as by `subscribe`, from the first event on. */
  readonly onEvent?: (event: QmpEvent) => void;
  /** Called once when the peer is gone or breaks the protocol; not after `close`. */
  readonly onLost?: (error: PtmonError) => void;
  /** Called when a command has been waiting for its reply for a second. */
  readonly onSilent?: (command: string) => void;
  /** Longest line that is accepted, in bytes; 64 MiB by default. */
  readonly maxLineByteLength?: number;
}

export interface QmpCommandOptions {
  /** How long the reply may take; by default as long as the connection was given. */
  readonly timeoutMs?: number;
  /** Stops waiting; the command itself cannot be taken back. */
  readonly signal?: AbortSignal;
}

export interface MonitorCommandOptions extends QmpCommandOptions {
  /** The vCPU that commands such as `gva2gpa` ask; QEMU's current one by default. */
  readonly vcpu?: number;
}

/**
 * QEMU's gdbstub stops a running guest for each client, and up to version 8.0 reports that without being asked. To a client of a guest that
 * was stopped before it reports nothing.
 */
const STOP_OF_STUB = /^\+*\$T[0-9a-f]{2}/;
/** Asks a gdbstub for QEMU's version, which its monitor prints. QMP, where another client has it, reads this later and passes over it. */
const STUB_QUESTION = `${framePacket(`qRcmd,${Buffer.from('info version').toString('hex')}`)}\n`;
const VERSION_OF_STUB = /^\+*\$O((?:[0-9a-f]{2})+)/;
/** So long a peer may be silent before it is asked that: QMP greets at once. */
const SILENT_MS = 1000;

export class QmpClient {
  readonly #transport: Transport;
  readonly #timeoutMs: number;
  readonly #decoder: QmpDecoder;
  readonly #pending: PendingCommands;
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  readonly #onLost: ((error: PtmonError) => void) | undefined;
  #greeting: QmpGreeting | undefined;
  #onGreeting: (() => void) | undefined;
  #end: PtmonError | undefined;
  #isReady = false;
  #hasAskedStub = false;

  private constructor(transport: Transport, options: QmpOptions) {
    this.#transport = transport;
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#decoder = new QmpDecoder(options.maxLineByteLength);
    this.#pending = new PendingCommands(transport.address, options.onSilent);
    this.#onLost = options.onLost;
    if (options.onEvent !== undefined) this.#listeners.add(options.onEvent);
  }

  /**
   * Connects to a QMP socket, or to that of a domain of libvirt (`virsh:NAME`), and leaves negotiation mode. The time limit is for each step: connection, greeting, negotiation.
   *
   * @throws PtmonError `source-unavailable` when there is no connection or no greeting (another client is connected),
   *   `corrupt-input` when the peer does not speak QMP; the reason of `options.signal` when it is aborted
   */
  static async connect(address: string | SocketAddress, options: QmpOptions = {}): Promise<QmpClient> {
    const transport = isVirshAddress(address)
      ? await connectVirsh(address, options)
      : await connectTransport(address, options);
    const client = new QmpClient(transport, options);
    try {
      await client.#negotiate(options.signal);
      return client;
    } catch (error) {
      await client.close();
      throw error;
    }
  }

  /** Where the peer is, for messages. */
  get address(): string {
    return this.#transport.address;
  }

  get greeting(): QmpGreeting {
    return this.#greeting!;
  }

  /**
   * Runs a command and returns what it returns.
   *
   * @throws PtmonError `source-unavailable` when QEMU refuses (`qmpRefusalOf` says why), does not answer in time or is gone,
   *   `corrupt-input` when it answers what is not QMP, `closed` after `close`; the reason of `options.signal` when it is aborted
   */
  execute(command: string, args?: QmpObject, options: QmpCommandOptions = {}): Promise<unknown> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const limits = { timeoutMs: options.timeoutMs ?? this.#timeoutMs, signal: options.signal };
    return this.#pending.run(command, limits, (id) => this.#transport.send(encodeQmpCommand(command, args, id)));
  }

  /** Runs commands without arguments, sent in one write: QEMU gets all of them, whatever becomes of this process. @throws as `execute` */
  executeTogether(commands: readonly string[]): Promise<unknown[]> {
    if (this.#end !== undefined) return Promise.reject(this.#end);
    const limits = { timeoutMs: this.#timeoutMs, signal: undefined };
    const parts: Uint8Array[] = [];
    const replies = commands.map((command) =>
      this.#pending.run(command, limits, (id) => parts.push(encodeQmpCommand(command, undefined, id))),
    );
    this.#transport.send(Buffer.concat(parts));
    return Promise.all(replies);
  }

  /**
   * Runs a command of the human monitor, `info mtree -f` for example, and returns what it prints. What such a command has to
   * complain of is printed as well, not thrown.
   *
   * @throws as `execute`
   */
  async humanMonitor(commandLine: string, options: MonitorCommandOptions = {}): Promise<string> {
    const args = { 'command-line': commandLine, 'cpu-index': options.vcpu };
    const printed = await this.execute('human-monitor-command', args, options);
    if (typeof printed === 'string') return printed;
    throw new PtmonError('corrupt-input', `${this.address}: the monitor command "${commandLine}" returned no text`);
  }

  /** Calls `listener` with every event from now on, in order; the returned function ends that. */
  subscribe(listener: (event: QmpEvent) => void): () => void {
    // A function of its own for each call, so that one listener subscribed twice is two subscriptions.
    const subscription = (event: QmpEvent) => listener(event);
    this.#listeners.add(subscription);
    return () => this.#listeners.delete(subscription);
  }

  /** Lets go of QEMU. May be called again. */
  async close(): Promise<void> {
    if (this.#end?.code === 'closed') return;
    this.#transport.close();
    this.#finish(new PtmonError('closed', `the QMP connection to ${this.address} is closed`));
  }

  async #negotiate(signal: AbortSignal | undefined): Promise<void> {
    const greeted = this.#pending.run(undefined, { timeoutMs: this.#timeoutMs, signal }, (id) => {
      this.#onGreeting = () => this.#pending.succeed(id, undefined);
    });
    this.#transport.start({
      bytes: (chunk) => this.#receive(chunk),
      lost: (error) => this.#lose(this.#inTheMiddle(error)),
    });
    const silence = setTimeout(() => this.#askStub(), Math.min(SILENT_MS, this.#timeoutMs / 2));
    try {
      await greeted;
    } catch (error) {
      if (signal?.aborted === true || this.#end !== undefined) throw error;
      throw this.#noGreeting();
    } finally {
      clearTimeout(silence);
    }
    if (this.#greeting === undefined) throw this.#notQmp('a reply before its greeting');
    await this.execute('qmp_capabilities', undefined, { ...(signal && { signal }) });
    this.#isReady = true;
  }

  #receive(chunk: Uint8Array): void {
    for (const message of this.#decoder.push(chunk)) {
      if (this.#end !== undefined) return;
      this.#handle(message);
    }
    if (this.#greeting === undefined) this.#findStub(this.#decoder.pendingSample);
  }

  #handle(message: QmpMessage): void {
    switch (message.kind) {
      case 'greeting':
        this.#greeting ??= message.greeting;
        this.#onGreeting?.();
        return;
      case 'return':
        return this.#pending.succeed(message.id, message.value);
      case 'refusal':
        // QMP has read the question for a gdbstub.
        if (message.id === undefined && this.#hasAskedStub && !this.#isReady) return;
        return this.#pending.refuse(message.id, message.refusal);
      case 'event':
        for (const listener of this.#listeners) listener(message.event);
        return;
      case 'unknown':
        return;
      case 'violation':
        this.#transport.close();
        return this.#lose(this.#notQmp(`${message.reason}${message.sample === '' ? '' : `, "${message.sample}"`}`));
    }
  }

  #askStub(): void {
    if (this.#decoder.pendingByteLength > 0 || isVirshAddress(this.address)) return;
    this.#hasAskedStub = true;
    this.#transport.send(bytesOfCharacters(STUB_QUESTION));
  }

  #findStub(heard: string): void {
    if (STOP_OF_STUB.test(heard)) return this.#leaveStub('The guest was stopped for a moment');
    const printed = VERSION_OF_STUB.exec(heard)?.[1];
    if (printed === undefined) return;
    const [major = 0, minor = 0] = Buffer.from(printed, 'hex').toString('latin1').split('.').map(Number);
    if (major > 8 || (major === 8 && minor > 0)) {
      return this.#leaveStub('The guest was stopped for a moment; if it was paused before, pause it again');
    }
    this.#leaveStub('The guest was paused before, and still is', false);
  }

  /** A gdbstub has stopped its guest because we connected, or may have: the guest runs on. */
  #leaveStub(consequence: string, mustRun = true): void {
    if (mustRun) this.#transport.send(bytesOfCharacters(frameCommand(DETACH)));
    this.#transport.close();
    this.#lose(
      new PtmonError(
        'bad-argument',
        `${this.address} is a gdbstub, not a QMP socket: are the addresses of the two swapped? ${consequence}`,
      ),
    );
  }

  #lose(error: PtmonError): void {
    if (this.#end !== undefined) return;
    this.#finish(error);
    if (this.#isReady) this.#onLost?.(error);
  }

  /** What a peer said last that went away before it was done. */
  #inTheMiddle(error: PtmonError): PtmonError {
    if (this.#decoder.pendingByteLength === 0) return error;
    const message = `${error.message}, in the middle of a message ("${this.#decoder.pendingSample}")`;
    return new PtmonError(error.code, message, {}, { cause: error.cause });
  }

  #finish(end: PtmonError): void {
    this.#end = end;
    this.#pending.failAll(end);
    this.#listeners.clear();
  }

  #notQmp(what: string): PtmonError {
    return new PtmonError('corrupt-input', `${this.address} does not speak QMP: it sent ${what}`);
  }

  #noGreeting(): PtmonError {
    const pending = this.#decoder.pendingByteLength;
    const what =
      pending > 0
        ? `only "${this.#decoder.pendingSample}" came`
        : 'QEMU serves one QMP client at a time, and another seems to be connected: ' +
          'close that one, or give QEMU a second -qmp socket';
    return new PtmonError(
      'source-unavailable',
      `${this.address}: connected, but no QMP greeting came within ${this.#timeoutMs} ms; ${what}`,
    );
  }
}
