/**
 * The QMP of a domain of libvirt, through its client: libvirt has the one connection that QEMU's monitor takes. Commands go by
 * `virsh qemu-monitor-command`, one after the other; events come from `virsh qemu-monitor-event`.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import { errorText, PtmonError } from '../../../core/error.ts';
import type { ConnectOptions } from './socket-transport.ts';
import { DEFAULT_TIMEOUT_MS } from './socket-transport.ts';
import type { Transport, TransportReceiver } from './transport.ts';

const PREFIX = 'virsh:';
/** A reply of QEMU's monitor, such as `info tlb`, may be long. */
const MAX_REPLY_BYTES = 1 << 26;

const run = promisify(execFile);

/** Whether an address names a domain of libvirt: `virsh:NAME`. The connection is virsh's default (LIBVIRT_DEFAULT_URI). */
export function isVirshAddress(address: unknown): address is string {
  return typeof address === 'string' && address.startsWith(PREFIX);
}

/** @throws PtmonError `source-unavailable` where virsh is missing, or has no such domain that runs; the reason of `signal` */
export async function connectVirsh(address: string, options: ConnectOptions = {}): Promise<Transport> {
  const domain = address.slice(PREFIX.length);
  if (domain === '' || domain.startsWith('-')) {
    throw new PtmonError('bad-argument', `"${address}" names no domain: write virsh:NAME`);
  }
  const { timeoutMs = DEFAULT_TIMEOUT_MS, signal } = options;
  const reply = await ask(domain, { execute: 'query-version' }, { timeoutMs, ...(signal && { signal }) });
  return new VirshTransport(address, domain, reply);
}

class VirshTransport implements Transport {
  readonly address: string;
  readonly #domain: string;
  readonly #version: object;
  readonly #stop = new AbortController();
  readonly #leave = () => void this.#events?.kill();
  #receiver: TransportReceiver | undefined;
  #events: ChildProcess | undefined;
  /** Settles when all that was sent is answered. */
  #done: Promise<void> = Promise.resolve();
  #rest = '';

  constructor(address: string, domain: string, version: { readonly return?: unknown }) {
    this.address = address;
    this.#domain = domain;
    this.#version = { version: version.return ?? {}, capabilities: [] };
  }

  start(receiver: TransportReceiver): void {
    this.#receiver = receiver;
    process.on('exit', this.#leave);
    const events = spawn('virsh', ['qemu-monitor-event', this.#domain, '--loop'], {
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    this.#events = events;
    events.on('error', (error) => this.#lose(error));
    events.on('close', () => this.#lose(new Error('virsh reports no more events')));
    createInterface({ input: events.stdout }).on('line', (line) => this.#hear(line));
    queueMicrotask(() => this.#deliver({ QMP: this.#version }));
  }

  send(bytes: Uint8Array): void {
    const lines = (this.#rest + Buffer.from(bytes).toString()).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) if (line.trim() !== '') this.#done = this.#done.then(() => this.#answer(line));
  }

  close(): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    process.off('exit', this.#leave);
    this.#events?.kill();
  }

  async #answer(line: string): Promise<void> {
    if (this.#stop.signal.aborted) return;
    const { id, ...command } = JSON.parse(line) as { readonly id: number; readonly execute: string };
    // libvirt has negotiated.
    if (command.execute === 'qmp_capabilities') return this.#deliver({ return: {}, id });
    try {
      const reply = await ask(this.#domain, command, { signal: this.#stop.signal });
      this.#deliver({ ...reply, id });
    } catch (error) {
      this.#lose(error);
    }
  }

  /** `event STOP at 1795985681.612071 for domain 'web': <null>`. */
  #hear(line: string): void {
    const [, event, seconds, microseconds, data] =
      /^event (\S+) at (\d+)\.(\d+) for domain .*?: (.*)$/.exec(line) ?? [];
    if (event === undefined) return;
    let details: unknown;
    try {
      details = JSON.parse(data ?? '');
    } catch {
      details = undefined;
    }
    const timestamp = { seconds: Number(seconds), microseconds: Number(microseconds) };
    this.#deliver({ event, ...(typeof details === 'object' && details !== null && { data: details }), timestamp });
  }

  #deliver(message: object): void {
    if (this.#stop.signal.aborted) return;
    this.#receiver?.bytes(Buffer.from(`${JSON.stringify(message)}\n`));
  }

  #lose(cause: unknown): void {
    if (this.#stop.signal.aborted) return;
    this.close();
    const why = errorText(cause);
    this.#receiver?.lost(new PtmonError('source-unavailable', `${this.address}: ${why}`, {}, { cause }));
  }
}

interface AskOptions {
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** @throws PtmonError `source-unavailable` with what virsh says; the reason of the signal */
async function ask(domain: string, command: object, { timeoutMs, signal }: AskOptions): Promise<{ return?: unknown }> {
  const words = ['qemu-monitor-command', domain, JSON.stringify(command)];
  try {
    const { stdout } = await run('virsh', words, {
      maxBuffer: MAX_REPLY_BYTES,
      ...(timeoutMs !== undefined && { timeout: timeoutMs }),
      ...(signal && { signal }),
    });
    return JSON.parse(stdout) as { return?: unknown };
  } catch (error) {
    signal?.throwIfAborted();
    const { code, stderr = '', message } = error as { code?: unknown; stderr?: string; message: string };
    const why = code === 'ENOENT' ? 'virsh is not installed' : stderr.trim() || message;
    throw new PtmonError('source-unavailable', `${PREFIX}${domain}: ${why}`, {}, { cause: error });
  }
}
