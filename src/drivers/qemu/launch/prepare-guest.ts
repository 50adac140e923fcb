/** Makes what a guest needs beside QEMU, once: a kernel and the programs inside. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { PtmonError } from '../../../core/error.ts';
import { BUILD_SCRIPT, guestDirectory } from './guest-files.ts';

/** How long the script may take to clean up. */
const STOP_TIMEOUT_MS = 3000;

export interface PrepareOptions {
  /** Debian packages of kernels; the script's own choice where there are none. */
  readonly packages?: readonly string[];
  /** Called with each line that the script says, progress and complaints alike. */
  readonly onLine?: (line: string) => void;
  readonly signal?: AbortSignal;
}

/**
 * Runs `guest/build.mjs`, which does nothing where everything is there. It may take a minute and 30 MB of download the first
 * time.
 *
 * @throws PtmonError `source-unavailable` with the script's last words where it fails; the reason of `signal` when it is aborted
 */
export async function prepareGuest(options: PrepareOptions = {}): Promise<void> {
  const { packages = [], onLine, signal } = options;
  signal?.throwIfAborted();
  if (!existsSync(BUILD_SCRIPT)) throw new PtmonError('source-unavailable', `${BUILD_SCRIPT} is not there`);
  const child = spawn(process.execPath, [BUILD_SCRIPT, ...packages.flatMap((name) => ['--kernel', name])], {
    env: { ...process.env, PTMON_GUEST_DIR: guestDirectory() },
    // A group of its own: what it waits for, a download or a compiler, is ended with it.
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    let unfinished = '';
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4000);
      const lines = (unfinished + text).split('\n');
      unfinished = lines.pop() ?? '';
      for (const line of lines) onLine?.(line);
    });
  }
  const ended = new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  const abort = () => void endGroup(child, ended);
  const kill = () => signalGroup(child, 'SIGTERM');
  signal?.addEventListener('abort', abort, { once: true });
  process.on('exit', kill);
  try {
    const code = await ended;
    signal?.throwIfAborted();
    if (code !== 0) throw new PtmonError('source-unavailable', `the guest could not be built: ${said.trim()}`);
  } finally {
    signal?.removeEventListener('abort', abort);
    process.off('exit', kill);
  }
}

/** Asks a process and its children to end, then makes them. */
async function endGroup(child: ChildProcess, ended: Promise<unknown>): Promise<void> {
  signalGroup(child, 'SIGTERM');
  const killing = setTimeout(() => signalGroup(child, 'SIGKILL'), STOP_TIMEOUT_MS);
  await ended.catch(() => {});
  clearTimeout(killing);
}

function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // It has ended.
  }
}
