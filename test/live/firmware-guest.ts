/** A guest that runs QEMU's firmware and nothing else: enough for everything that asks QEMU, not a guest's kernel. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { QmpClient } from '../../src/drivers/qemu/qmp/index.ts';

const QEMU = 'qemu-system-x86_64';

const isInstalled = spawnSync(QEMU, ['--version'], { stdio: 'ignore' }).status === 0;

/**
 * Returns whether QEMU is installed; where it is not, prints which tests are left out and how to get it.
 *
 * @throws where PTMON_LIVE=required and QEMU is missing
 */
export function hasQemu(what: string): boolean {
  if (isInstalled) return true;
  const missing = `${QEMU} is not installed; on Debian: apt-get install qemu-system-x86`;
  if (process.env['PTMON_LIVE'] === 'required') throw new Error(`${what} cannot run: ${missing}`);
  process.stderr.write(`LEFT OUT: ${what}: ${missing}\n`);
  return false;
}

export interface FirmwareGuest {
  readonly qmp: string;
  readonly gdb: string;
  readonly process: ChildProcess;
}

/**
 * Starts a guest that stands still at its first instruction; it is gone when the test ends.
 *
 * @param wrapper a command that runs QEMU, and ends with it: as another user, in other namespaces
 */
export async function startFirmware(
  kind: 'unix' | 'tcp' = 'unix',
  more: readonly string[] = [],
  wrapper: readonly string[] = [],
): Promise<FirmwareGuest> {
  const folder = mkdtempSync(join(tmpdir(), 'ptmon-live-'));
  if (wrapper.length > 0) chmodSync(folder, 0o777);
  const [qmp, gdb] =
    kind === 'unix' ? [join(folder, 'qmp'), join(folder, 'gdb')] : [await freePort(), await freePort()];
  const ready = join(folder, 'ready');
  const listen = (address: string) => `${kind}:${address},server=on,wait=off`;
  const [program, ...before] = [...wrapper, QEMU];
  const child = spawn(
    program,
    // The second monitor is for this file alone.
    [...before, '-nodefaults', '-nographic', '-no-user-config', '-S', '-m', '16M', '-accel', 'tcg']
      .concat(['-qmp', listen(qmp), '-gdb', listen(gdb), '-qmp', `unix:${ready},server=on,wait=off`])
      .concat(more),
    { stdio: ['ignore', 'ignore', 'pipe'] },
  );
  let complaints = '';
  child.stderr.on('data', (chunk: Buffer) => (complaints += chunk.toString()));
  // Whatever ends this process ends the guest.
  const kill = () => void child.kill('SIGKILL');
  process.once('exit', kill);
  const ended = once(child, 'exit');
  onTestFinished(async () => {
    kill();
    await ended;
    process.off('exit', kill);
    rmSync(folder, { recursive: true, force: true });
  });
  for (let waitedMs = 0; !(await isUp(ready)); waitedMs += 20) {
    if (child.exitCode !== null || waitedMs > 20_000) throw new Error(`${QEMU} did not start: ${complaints}`);
    await sleep(20);
  }
  return { qmp, gdb, process: child };
}

/** Whether QEMU carries out commands. It greets before that: its monitors begin while it still opens its other sockets. */
async function isUp(monitor: string): Promise<boolean> {
  try {
    const qmp = await QmpClient.connect(monitor);
    await qmp.execute('query-status');
    await qmp.close();
    return true;
  } catch {
    return false;
  }
}

async function freePort(): Promise<string> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, 'close');
  return `127.0.0.1:${port}`;
}
