/** The commands that wait for their replies, each with its own time limit. Replies may come in any order. */
import { PtmonError } from '../../../core/error.ts';
import type { QmpRefusal } from './messages.ts';

interface PendingCommand {
  /** Undefined for the greeting, which comes unasked. */
  readonly name: string | undefined;
  resolve(value: unknown): void;
  reject(reason: unknown): void;
}

export interface CommandLimits {
  readonly timeoutMs: number;
  readonly signal: AbortSignal | undefined;
}

/** QEMU answers within milliseconds. */
const SILENT_MS = 1000;

export class PendingCommands {
  readonly #address: string;
  readonly #commands = new Map<number, PendingCommand>();
  readonly #onSilent: (command: string) => void;
  #lastId = 0;

  /** @param onSilent called with a command that has been waiting for its reply for a second */
  constructor(address: string, onSilent: (command: string) => void = () => {}) {
    this.#address = address;
    this.#onSilent = onSilent;
  }

  /** Calls `send` with a fresh id; settles with the reply to it, or when a limit is reached. */
  run(name: string | undefined, limits: CommandLimits, send: (id: number) => void): Promise<unknown> {
    return new Promise((resolve, reject) => {
      const { timeoutMs, signal } = limits;
      signal?.throwIfAborted();
      const id = ++this.#lastId;
      const abort = () => this.#take(id)?.reject(signal?.reason);
      const done = () => {
        clearTimeout(timer);
        clearTimeout(silence);
        signal?.removeEventListener('abort', abort);
      };
      const silence = setTimeout(() => name !== undefined && this.#onSilent(name), SILENT_MS);
      // A reply that comes after all finds nobody, and is dropped.
      const timer = setTimeout(() => this.#take(id)?.reject(this.#timeout(name, timeoutMs)), timeoutMs);
      signal?.addEventListener('abort', abort, { once: true });
      this.#commands.set(id, {
        name,
        resolve: (value) => (done(), resolve(value)),
        reject: (reason) => (done(), reject(reason)),
      });
      send(id);
    });
  }

  succeed(id: unknown, value: unknown): void {
    this.#take(id)?.resolve(value);
  }

  /** A refusal without an id answers a command that QEMU could not read: whichever it was, none will be answered. */
  refuse(id: unknown, refusal: QmpRefusal): void {
    const ids = id === undefined ? [...this.#commands.keys()] : [id];
    for (const each of ids) {
      const command = this.#take(each);
      command?.reject(this.#refused(command.name, refusal));
    }
  }

  /** Nobody is left who could reply. */
  failAll(reason: PtmonError): void {
    for (const id of [...this.#commands.keys()]) {
      const command = this.#take(id)!;
      const message = `${reason.message} (while waiting for ${waitedFor(command.name)})`;
      command.reject(new PtmonError(reason.code, message, {}, { cause: reason.cause ?? reason }));
    }
  }

  #take(id: unknown): PendingCommand | undefined {
    const command = this.#commands.get(id as number);
    this.#commands.delete(id as number);
    return command;
  }

  #timeout(name: string | undefined, timeoutMs: number): PtmonError {
    return new PtmonError(
      'source-unavailable',
      `${this.#address}: QEMU did not send ${waitedFor(name)} within ${timeoutMs} ms`,
    );
  }

  #refused(name: string | undefined, refusal: QmpRefusal): PtmonError {
    return new PtmonError(
      'source-unavailable',
      `${this.#address}: QEMU refused ${name ?? 'the QMP handshake'}: ${refusal.desc} (${refusal.class})`,
      {},
      { cause: new RefusalCause(refusal) },
    );
  }
}

function waitedFor(name: string | undefined): string {
  return name === undefined ? 'the greeting' : `the reply to ${name}`;
}

/** What QEMU said to a command that it did not carry out; undefined for any other error. */
export function qmpRefusalOf(error: unknown): QmpRefusal | undefined {
  const cause: unknown = error instanceof PtmonError ? error.cause : undefined;
  return cause instanceof RefusalCause ? cause.refusal : undefined;
}

class RefusalCause extends Error {
  readonly refusal: QmpRefusal;

  constructor(refusal: QmpRefusal) {
    super(`${refusal.class}: ${refusal.desc}`);
    this.refusal = refusal;
  }
}
