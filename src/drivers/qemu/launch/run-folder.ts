/** A private folder for one guest's sockets and memory, and what removes it however this process ends. */
import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PtmonError } from '../../../core/error.ts';

/** A path longer than this is no address of a unix socket (unix(7)): `sun_path` has 108 bytes with its NUL. */
const SOCKET_PATH_BYTE_LENGTH = 107;

const SHARED_MEMORY = '/dev/shm';

/** Whether a folder has room for so many bytes. */
function hasRoom(folder: string, byteLength: number): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize > byteLength;
  } catch {
    return false;
  }
}

/** The paths of one guest. */
export interface RunFolder {
  readonly path: string;
  readonly ramFile: string;
  readonly initramfs: string;
  readonly consolePath: string;
  readonly controlPath: string;
  readonly qmpPath: string;
  readonly gdbPath: string;
}

/**
 * A new folder that only this user may enter: in shared memory where that has room for the guest's memory (in containers it
 * may be small), else in the folder for temporary files.
 *
 * @throws PtmonError `source-unavailable` where no folder can be made, or its sockets' paths would be too long
 */
export function makeRunFolder(memoryMiB: number, bases: readonly string[] = [SHARED_MEMORY, tmpdir()]): RunFolder {
  // The initramfs and the sockets need a little beside the memory.
  const base = bases.find((folder) => hasRoom(folder, (memoryMiB + 16) * 2 ** 20));
  if (base === undefined) {
    throw new PtmonError('source-unavailable', `no room for ${memoryMiB} MiB of guest memory in ${bases.join(' or ')}`);
  }
  let path: string;
  try {
    path = mkdtempSync(join(base, 'ptmon-guest-'));
  } catch (cause) {
    throw new PtmonError('source-unavailable', `cannot make a folder in ${base}: ${String(cause)}`, {}, { cause });
  }
  const folder = {
    path,
    ramFile: join(path, 'ram'),
    initramfs: join(path, 'initramfs.gz'),
    consolePath: join(path, 'console.sock'),
    controlPath: join(path, 'control.sock'),
    qmpPath: join(path, 'qmp.sock'),
    gdbPath: join(path, 'gdb.sock'),
  };
  if (Buffer.byteLength(folder.consolePath) <= SOCKET_PATH_BYTE_LENGTH) return folder;
  rmSync(path, { recursive: true, force: true });
  throw new PtmonError(
    'source-unavailable',
    `${base} is too long a path for unix sockets; set TMPDIR to a shorter one`,
  );
}

/**
 * Waits for the end of its input, which comes with the end of this process, a SIGKILL included. Then it ends QEMU, unless its
 * process id belongs to another process by now, and removes the folder.
 */
const AFTERMATH = `
trap '' HUP INT TERM
cat > /dev/null
ours() { case "$(tr '\\0' '\\n' < "/proc/$1/cmdline" 2> /dev/null)" in *"$2"*) ;; *) return 1 ;; esac; }
for signal in TERM KILL; do
  if ours "$1" "$2"; then kill -s $signal "$1"; fi
  for i in 1 2 3 4 5 6 7 8 9 10; do ours "$1" "$2" || break; sleep 0.2; done
done
rm -rf "$2"
`;

/**
 * Starts a small process that cleans up after this one; returns what ends it. A signal handler could not do that after a
 * SIGKILL, and a library has no business handling its user's signals.
 */
export function guardRunFolder(path: string, qemuPid: number): () => void {
  const guard = spawn('/bin/sh', ['-c', AFTERMATH, 'ptmon-guard', String(qemuPid), path], {
    cwd: '/',
    // A session of its own: Ctrl-C in the terminal is for this process, which may still have watchpoints to remove.
    detached: true,
    stdio: ['pipe', 'ignore', 'ignore'],
  });
  guard.on('error', () => {});
  guard.stdin.on('error', () => {});
  guard.unref();
  // A pipe of a child is a socket of Node's, and would keep the event loop alive.
  (guard.stdin as unknown as { unref(): void }).unref();
  return () => guard.stdin.end();
}
