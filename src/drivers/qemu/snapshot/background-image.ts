/**
 * An image of a running guest at one moment, by QEMU's background snapshot: a migration into a file during which the guest runs on. QEMU
 * write-protects the guest's memory (userfaultfd) and saves each page before the guest changes it. The guest is stopped only while the
 * state of its devices is saved.
 */
import { once } from 'node:events';
import { chmodSync, createWriteStream, mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { PtmonError } from '../../../core/error.ts';
import { QmpClient } from '../qmp/client.ts';
import { isMigrating, isUnderWay } from '../qmp/migration.ts';
import { qmpRefusalOf } from '../qmp/pending-commands.ts';
import { readRunState } from '../qmp/run-state.ts';

const CAPABILITY = 'background-snapshot';
/** QEMU's own limit is 128 MiB a second; each page that waits to be saved holds up the guest. */
const MAX_BANDWIDTH = 2 ** 40;
const POLL_MS = 50;

export interface BackgroundImageOptions {
  /** QEMU's QMP socket. QEMU must run on this host. */
  readonly qmp: string;
  /** Ends it, once QEMU is through: a migration that is cut short would leave the guest's memory write-protected. */
  readonly signal?: AbortSignal;
}

/** A migration stream of QEMU, as `openDump` reads it. */
export interface BackgroundImage {
  readonly path: string;
  /** How long QEMU had the guest stopped, in milliseconds; undefined where it does not say. */
  readonly stoppedMs: number | undefined;
  /** Removes the file. May be called again. */
  remove(): void;
}

/**
 * Saves a running guest to a file of the folder for temporary files.
 *
 * @throws PtmonError `source-unavailable` where QEMU does not answer, cannot do this, or fails, with its reason; `bad-argument` for a
 *   guest that does not run; `write-failed` where the file cannot be written; the reason of the signal when it is aborted
 */
export async function saveBackgroundImage({ qmp: address, signal }: BackgroundImageOptions): Promise<BackgroundImage> {
  const qmp = await QmpClient.connect(address, signal === undefined ? {} : { signal });
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-image-'));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    await expectRunning(qmp);
    const stream = new MigrationStream(folder);
    try {
      await stream.listen();
      const stoppedMs = await withCapability(qmp, () => migrate(qmp, stream, signal));
      return { path: stream.file, stoppedMs, remove };
    } finally {
      stream.close();
    }
  } catch (error) {
    remove();
    throw error;
  } finally {
    await qmp.close();
  }
}

/** QEMU resumes the guest at the end, whatever its state was. */
async function expectRunning(qmp: QmpClient): Promise<void> {
  if (await isMigrating(qmp)) {
    throw new PtmonError(
      'source-unavailable',
      `${qmp.address}: the guest is migrating; take the image when that is over`,
    );
  }
  const state = await readRunState(qmp);
  if (state === 'running') return;
  throw new PtmonError(
    'bad-argument',
    `the guest is stopped (${state}), so every command reads one moment of it: drop --consistent`,
  );
}

/** Does `work` with the capability and the bandwidth set, and sets them back. */
async function withCapability<T>(qmp: QmpClient, work: () => Promise<T>): Promise<T> {
  const set = (state: boolean) =>
    qmp.execute('migrate-set-capabilities', { capabilities: [{ capability: CAPABILITY, state }] });
  const before = (await qmp.execute('query-migrate-parameters')) as { readonly 'max-bandwidth'?: number };
  const setBandwidth = (bytes: number) => qmp.execute('migrate-set-parameters', { 'max-bandwidth': bytes });
  await set(true).catch((error: unknown) => {
    throw refusal(qmp, error);
  });
  try {
    await setBandwidth(MAX_BANDWIDTH);
    return await work();
  } finally {
    // A QEMU that has gone has nothing to set back.
    await set(false).catch(() => {});
    const bandwidth = before['max-bandwidth'];
    if (bandwidth !== undefined) await setBandwidth(bandwidth).catch(() => {});
  }
}

/** @returns the milliseconds that the guest was stopped, where QEMU says */
async function migrate(
  qmp: QmpClient,
  stream: MigrationStream,
  signal: AbortSignal | undefined,
): Promise<number | undefined> {
  signal?.throwIfAborted();
  await qmp.execute('migrate', { uri: `unix:${stream.socket}` }).catch((error: unknown) => {
    throw refusal(qmp, error);
  });
  for (;;) {
    const said = (await qmp.execute('query-migrate')) as MigrationState;
    if (!isUnderWay(said.status)) {
      signal?.throwIfAborted();
      if (stream.failure !== undefined) throw stream.failure;
      if (said.status !== 'completed') throw failed(qmp, said['error-desc'] ?? `the migration is ${said.status}`);
      await stream.end();
      return said.downtime;
    }
    await setTimeout(POLL_MS);
  }
}

interface MigrationState {
  readonly status?: string;
  readonly 'error-desc'?: string;
  readonly downtime?: number;
}

/** The end that QEMU sends its stream to: a socket, as a URI of `exec:` or `file:` is not allowed or not known to every QEMU. */
class MigrationStream {
  readonly file: string;
  readonly socket: string;
  /** Why the file could not be written. */
  failure: PtmonError | undefined;
  readonly #server: Server;
  #written: Promise<void> | undefined;
  #connection: Socket | undefined;

  constructor(folder: string) {
    this.file = join(folder, 'image');
    this.socket = join(folder, 'stream');
    this.#server = createServer((connection) => this.#connected(connection));
    // QEMU may be another user's: it may pass through the folder, in which only the socket is open to it.
    chmodSync(folder, 0o711);
  }

  async listen(): Promise<void> {
    this.#server.listen(this.socket);
    await once(this.#server, 'listening');
    chmodSync(this.socket, 0o666);
  }

  /** The whole stream is in the file. @throws PtmonError `write-failed`, or `source-unavailable` where QEMU has not sent it here */
  async end(): Promise<void> {
    await this.#written;
    if (this.failure !== undefined) throw this.failure;
    if (this.#written !== undefined) return;
    throw new PtmonError('source-unavailable', `QEMU did not connect to ${this.socket}: it runs in another container`);
  }

  close(): void {
    this.#server.close();
    this.#connection?.destroy();
  }

  #connected(connection: Socket): void {
    if (this.#connection !== undefined) return void connection.destroy();
    this.#connection = connection;
    const file = createWriteStream(this.file, { mode: 0o600 });
    file.once('error', (cause) => {
      this.failure = new PtmonError('write-failed', `${this.file}: ${String(cause)}`, {}, { cause });
      // Read to its end all the same: QEMU 7.2 keeps the guest's memory write-protected where a migration fails or is cancelled.
      connection.unpipe(file).resume();
    });
    connection.once('close', () => file.end());
    this.#written = new Promise((resolve) => file.once('close', resolve));
    connection.on('error', () => {}).pipe(file);
  }
}

/** QEMU's refusal with what it was about; another error as it is. */
function refusal(qmp: QmpClient, error: unknown): unknown {
  const refused = qmpRefusalOf(error);
  return refused === undefined ? error : failed(qmp, refused.desc);
}

function failed({ address }: QmpClient, why: string): PtmonError {
  return new PtmonError(
    'source-unavailable',
    `${address}: QEMU cannot save the running guest by a background snapshot: ${why}`,
  );
}
