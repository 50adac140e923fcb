/** QEMU as a child process. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { PtmonError } from '../../../core/error.ts';
import type { RunFolder } from './run-folder.ts';

/** How long QEMU may take to end when it is asked to. */
const STOP_TIMEOUT_MS = 3000;

/** QEMU as a child: its process id, what it has complained of, and its end. */
export interface QemuProcess {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ended: Promise<string>;
  complaints(): string;
}

/** @throws PtmonError `source-unavailable` where the program cannot be started */
export async function startQemu(qemu: string, args: readonly string[]): Promise<QemuProcess> {
  // A session of its own: Ctrl-C in the terminal is for us, who may have watchpoints to remove before QEMU ends.
  const child = spawn(qemu, args, { detached: true, stdio: ['ignore', 'ignore', 'pipe'] });
  let complaints = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    complaints = (complaints + text).slice(-4000);
  });
  const ended = new Promise<string>((resolve) => {
    child.on('close', (code, signal) => resolve(signal === null ? `exit code ${code}` : signal));
  });
  await new Promise<void>((resolve, reject) => {
    child.on('spawn', resolve);
    child.on('error', (cause) => {
      reject(new PtmonError('source-unavailable', `${qemu} cannot be started: ${cause.message}`, {}, { cause }));
    });
  });
  return { child, pid: child.pid as number, ended, complaints: () => distinctLines(complaints) };
}

/** QEMU says some warnings once for each vCPU. */
function distinctLines(text: string): string {
  return [...new Set(text.trim().split('\n'))].join('\n');
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, milliseconds);
  });
}

/**
 * Waits until QEMU listens; it makes its sockets one after the other, the gdbstub's last.
 *
 * @throws PtmonError `source-unavailable`, with what QEMU has said, where it ends first or takes longer than `timeoutMs`
 */
export async function waitForSockets(process: QemuProcess, folder: RunFolder, timeoutMs: number): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  let end: string | undefined;
  void process.ended.then((how) => {
    end = how;
  });
  while (!existsSync(folder.gdbPath) || !existsSync(folder.qmpPath)) {
    if (end !== undefined) {
      throw new PtmonError(
        'source-unavailable',
        `QEMU exited at startup (${end}): ${process.complaints() || 'it printed nothing'}`,
      );
    }
    if (performance.now() > deadline) {
      throw new PtmonError('source-unavailable', `QEMU did not listen within ${timeoutMs} ms. ${process.complaints()}`);
    }
    await sleep(10);
  }
}

/** Asks QEMU to end, then makes it; resolves when it has ended. */
export async function endQemu({ child, ended }: QemuProcess): Promise<void> {
  child.kill('SIGTERM');
  const killing = setTimeout(() => child.kill('SIGKILL'), STOP_TIMEOUT_MS);
  await ended;
  clearTimeout(killing);
}
