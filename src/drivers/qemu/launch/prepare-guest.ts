/** Makes what a guest needs beside QEMU, once: a kernel and the programs inside. */
import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { PtmonError } from '../../../core/error.ts';
import { BUILD_SCRIPT, guestDirectory } from './guest-files.ts';

export interface PrepareOptions {
  /** Debian packages of kernels; the script's own choice where there are none. */
  readonly packages?: readonly string[];
  /** Called with each line that the script says, progress and complaints alike. */
  readonly onLine?: (line: string) => void;
}

/**
 * Runs `guest/build.mjs`, which does nothing where everything is there. It may take a minute and 30 MB of download the first
 * time.
 *
 * @throws PtmonError `source-unavailable` with the script's last words where it fails
 */
export async function prepareGuest(options: PrepareOptions = {}): Promise<void> {
  if (!existsSync(BUILD_SCRIPT)) throw new PtmonError('source-unavailable', `${BUILD_SCRIPT} is not there`);
  const args = (options.packages ?? []).flatMap((name) => ['--kernel', name]);
  const child = spawn(process.execPath, [BUILD_SCRIPT, ...args], {
    env: { ...process.env, PTMON_GUEST_DIR: guestDirectory() },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) {
    let unfinished = '';
    stream.setEncoding('utf8').on('data', (text: string) => {
      said = (said + text).slice(-4000);
      const lines = (unfinished + text).split('\n');
      unfinished = lines.pop() ?? '';
      for (const line of lines) options.onLine?.(line);
    });
  }
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on('error', reject);
    child.on('close', resolve);
  });
  if (code !== 0) throw new PtmonError('source-unavailable', `the guest could not be made: ${said.trim()}`);
}
