/** The front door: `await using guest = await attach('vm1')`. */
import { statSync } from 'node:fs';
import { PtmonError } from '../core/error.ts';
import { chooseVm } from './discovery/choose-vm.ts';
import type { Vm } from './discovery/list-vms.ts';
import { Guest } from './guest.ts';
import { FileSource } from './source/file-source.ts';
import { LiveSource } from './source/live-source.ts';

/** QEMU's sockets, as `--qmp` and `--gdb` take them. */
export interface QemuSockets {
  readonly qmp: string;
  /** Without it the guest can be watched by samples only. */
  readonly gdb?: string;
  /** What messages call the guest; defaults to the QMP socket. */
  readonly name?: string;
}

/** A dump or a trace, where a name could also be that of a VM. */
export interface GuestFile {
  readonly file: string;
}

export interface AttachOptions {
  /** Ends whatever the guest is asked. */
  readonly signal?: AbortSignal;
}

/**
 * Attaches to a guest.
 *
 * @param where a VM's name (also that of a libvirt domain) or QEMU's PID; the path of a dump or a trace, also as `{ file }`; QEMU's
 *   sockets; nothing for the only VM of this host
 * @throws PtmonError `bad-argument` where nothing fits, saying what there is; `source-unavailable` where QEMU does not answer; as the dump or
 *   the trace
 */
export async function attach(
  where?: string | number | QemuSockets | GuestFile,
  options: AttachOptions = {},
): Promise<Guest> {
  const { signal } = options;
  if (typeof where === 'object') {
    return new Guest(
      'file' in where ? await FileSource.open(where.file, signal) : await LiveSource.open(where, signal),
    );
  }
  if (typeof where === 'string') {
    const kind = kindOfPath(where);
    if (kind === 'file') return new Guest(await FileSource.open(where, signal));
    if (kind === 'socket') throw new PtmonError('bad-argument', `${where} is a socket: name both, as { qmp, gdb }`);
  }
  return new Guest(await LiveSource.open(socketsOf(chooseVm(where)), signal));
}

function kindOfPath(path: string): 'file' | 'socket' | undefined {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats?.isSocket() === true) return 'socket';
  return stats?.isFile() === true || stats?.isBlockDevice() === true ? 'file' : undefined;
}

function socketsOf({ name, pid, qmp, gdb, missing }: Vm) {
  if (qmp !== undefined) return { name, qmp, gdb };
  throw new PtmonError(
    'bad-argument',
    `VM ${name} (PID ${pid}) has no QMP socket: start QEMU with ${missing.join(' ')}`,
  );
}
