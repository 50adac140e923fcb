/** Opens a file for writing without destroying what it must not: the RAM, a disk or a log of a guest, or other data. */
import {
  type BigIntStats,
  closeSync,
  constants,
  fstatSync,
  ftruncateSync,
  openSync,
  readdirSync,
  readFileSync,
} from 'node:fs';
import { readSync, statSync } from 'node:fs';
import { PtmonError } from '../core/error.ts';

export interface OutputFileOptions {
  /** Whether these first bytes of a file are of one that this program writes: it may be overwritten. Defaults to all files. */
  readonly isOwn?: (start: Uint8Array) => boolean;
  /** What it takes to be `isOwn`, for messages: `a trace`. */
  readonly own?: string;
  /** Overwrites other files as well, but none that a process has open. */
  readonly force?: boolean;
}

const START_BYTES = 16;

/**
 * @returns a descriptor of an empty file, or of a character device
 * @throws PtmonError `bad-argument` where there can be no such file, or it must not be overwritten
 */
export function openOutputFile(path: string, options: OutputFileOptions = {}): number {
  const { O_WRONLY, O_RDWR, O_CREAT, O_EXCL, O_NONBLOCK } = constants;
  const fresh = tryOpen(path, O_WRONLY | O_CREAT | O_EXCL | O_NONBLOCK, 'EEXIST');
  if (fresh !== undefined) return fresh;
  // Not to be held up by a pipe that nobody reads.
  const fd = tryOpen(path, O_RDWR | O_NONBLOCK, 'EACCES') ?? tryOpen(path, O_WRONLY | O_NONBLOCK)!;
  try {
    const stats = fstatSync(fd, { bigint: true });
    // /dev/null and its like are as good as files.
    if (stats.isCharacterDevice()) return fd;
    if (!stats.isFile()) throw refused(path, 'is not a file');
    expectUnused(path, fd, stats);
    if (options.force !== true) expectOwn(path, fd, stats, options);
    ftruncateSync(fd);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** @throws PtmonError `bad-argument` where a process has the file open or mapped: QEMU, or this one, which reads it */
export function expectUnusedFile(path: string): void {
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  if (stats?.isFile() === true) expectUnused(path, undefined, stats);
}

function tryOpen(path: string, flags: number, expected?: string): number | undefined {
  try {
    return openSync(path, flags, 0o644);
  } catch (error) {
    const code = (error as { readonly code?: string }).code ?? String(error);
    if (code === expected) return undefined;
    const why = code === 'ENOENT' ? ': its folder does not exist' : ` (${code})`;
    throw new PtmonError('bad-argument', `${path} cannot be written to${why}`, {}, { cause: error });
  }
}

function expectOwn(path: string, fd: number, { size }: BigIntStats, { isOwn, own }: OutputFileOptions): void {
  if (isOwn === undefined || size === 0n) return;
  const start = new Uint8Array(START_BYTES);
  const byteLength = readSync(fd, start, 0, START_BYTES, 0);
  if (isOwn(start.subarray(0, byteLength))) return;
  throw refused(
    path,
    `is there already, and is not ${own ?? 'one of ptmon'}: give another path, or --force to overwrite it`,
  );
}

/** @param own descriptor of this process that does not count */
function expectUnused(path: string, own: number | undefined, stats: BigIntStats): void {
  for (const pid of entriesOf('/proc').filter((entry) => /^\d+$/.test(entry))) {
    const isSelf = Number(pid) === process.pid;
    const isOpen = entriesOf(`/proc/${pid}/fd`).some(
      (fd) => !(isSelf && Number(fd) === own) && isSame(statAt(`/proc/${pid}/fd/${fd}`), stats),
    );
    if (!isOpen && !isMapped(pid, stats)) continue;
    const name = isSelf ? 'ptmon itself' : `process ${pid} (${textOf(`/proc/${pid}/comm`).trim()})`;
    throw refused(path, `is in use by ${name}: give another path`);
  }
}

/** proc(5), /proc/PID/maps: address, permissions, offset, device, inode, path. */
function isMapped(pid: string, { ino, dev }: BigIntStats): boolean {
  // glibc's gnu_dev_major and gnu_dev_minor.
  const major = ((dev >> 8n) & 0xfffn) | ((dev >> 32n) & ~0xfffn);
  const minor = (dev & 0xffn) | ((dev >> 12n) & ~0xffn);
  const digits = (part: bigint) => part.toString(16).padStart(2, '0');
  return textOf(`/proc/${pid}/maps`).includes(` ${digits(major)}:${digits(minor)} ${ino} `);
}

function isSame(a: BigIntStats | undefined, b: BigIntStats): boolean {
  return a !== undefined && a.ino === b.ino && a.dev === b.dev;
}

function entriesOf(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    // Another user's process, one that has ended, or a system without /proc.
    return [];
  }
}

function statAt(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true, throwIfNoEntry: false });
  } catch {
    return undefined;
  }
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function refused(path: string, why: string): PtmonError {
  return new PtmonError('bad-argument', `${path} ${why}`);
}
