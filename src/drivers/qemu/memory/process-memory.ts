/** The way through QEMU itself: its memory, read by another process on the same host. proc(5), `/proc/PID/mem`. */
import { closeSync, openSync, readFileSync } from 'node:fs';
import { PtmonError } from '../../../core/error.ts';
import type { MemoryPart, PositionedSource, RamRegion } from '../../ramfile/index.ts';
import { systemCode } from '../../../driver/input-file.ts';
import { readFully } from '../../ramfile/positioned-source.ts';
import { areMapped } from './host-addresses.ts';
import { findListeningProcesses } from './listening-process.ts';

/** The memory of a process, positions being its addresses. Stays that process's when its PID is used again. */
export class ProcessMemory implements PositionedSource {
  readonly name: string;
  readonly pid: number;
  readonly #fd: number;
  readonly #knownPosition: number;
  #isOpen = true;

  /**
   * @param knownPosition an address that is readable for as long as the process lives
   * @throws PtmonError `source-unavailable`
   */
  constructor(pid: number, knownPosition: number) {
    this.pid = pid;
    this.name = `the memory of process ${pid}`;
    this.#knownPosition = knownPosition;
    try {
      this.#fd = openSync(`/proc/${pid}/mem`, 'r');
    } catch (error) {
      throw new PtmonError('source-unavailable', `${this.name} ${whyClosed(systemCode(error))}`, {}, { cause: error });
    }
  }

  read(into: Uint8Array, position: number): void {
    if (!this.#isOpen) throw new PtmonError('closed', `${this.name} is closed`);
    let count: number;
    try {
      count = readFully(this.#fd, into, position);
    } catch (error) {
      const where = `${into.length} bytes at 0x${position.toString(16)}`;
      const message = `${this.name}: ${where} cannot be read (${systemCode(error)})`;
      throw new PtmonError('read-failed', message, {}, { cause: error });
    }
    if (count < into.length) throw new PtmonError('source-unavailable', `process ${this.pid}, QEMU, has ended`);
  }

  check(): void {
    this.read(new Uint8Array(1), this.#knownPosition);
  }

  close(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    closeSync(this.#fd);
  }
}

/**
 * Opens the memory of the process that listens on one of the sockets and has the guest's RAM where QEMU says.
 *
 * @param addresses of QEMU's sockets
 * @param regions at host addresses
 * @throws PtmonError `source-unavailable`
 */
export async function openProcessMemory(
  addresses: readonly string[],
  regions: readonly RamRegion[],
): Promise<MemoryPart<ProcessMemory>> {
  const pid = await findQemuProcess(addresses, regions);
  return { source: new ProcessMemory(pid, regions[0]!.position), regions };
}

/** The process that listens on one of the sockets and has the guest's RAM where QEMU says. @throws PtmonError `source-unavailable` */
export async function findQemuProcess(addresses: readonly string[], regions: readonly RamRegion[]): Promise<number> {
  const reasons = new Set<string>();
  for (const address of addresses) {
    try {
      for (const pid of await findListeningProcesses(address)) {
        const why = whyNot(pid, regions);
        if (why === undefined) return pid;
        reasons.add(why);
      }
    } catch (error) {
      if (!(error instanceof PtmonError)) throw error;
      reasons.add(error.message);
    }
  }
  throw new PtmonError('source-unavailable', [...reasons].join('; '));
}

/** Why the process cannot be the one whose addresses QEMU gave; a forwarder of the socket is not. */
function whyNot(pid: number, regions: readonly RamRegion[]): string | undefined {
  try {
    if (areMapped(regions, readFileSync(`/proc/${pid}/maps`, 'utf8'))) return undefined;
    return `process ${pid} (${readFileSync(`/proc/${pid}/comm`, 'utf8').trim()}) listens, but has no RAM of the guest`;
  } catch (error) {
    return `the memory of process ${pid} ${whyClosed(systemCode(error))}`;
  }
}

function whyClosed(code: string): string {
  if (code === 'ENOENT' || code === 'ESRCH') return 'is gone: it has ended';
  if (code !== 'EACCES' && code !== 'EPERM') return `cannot be opened (${code})`;
  const scope = ptraceScope();
  const remedy =
    scope === 0 ? 'run as root or as the user who runs it' : `kernel.yama.ptrace_scope is ${scope}: run as root`;
  return `may not be read (${code}); ${remedy}`;
}

/** Above 0, only root and a process's own parents may read its memory: Linux, admin-guide/LSM/Yama. */
function ptraceScope(): number {
  try {
    return Number(readFileSync('/proc/sys/kernel/yama/ptrace_scope', 'utf8'));
  } catch {
    return 0;
  }
}
