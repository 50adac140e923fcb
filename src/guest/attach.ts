/** The front door: `await using guest = await attach('vm1')`. */
import { existsSync, statSync } from 'node:fs';
import { PtmonError } from '../core/error.ts';
import type { PagingModeName } from '../core/paging/modes.ts';
import { checkOptions } from './check-options.ts';
import { chooseVm, noQmpText } from './discovery/choose-vm.ts';
import { listVms, type Vm } from './discovery/list-vms.ts';
import { Guest } from './guest.ts';
import { FileSource } from './source/file-source.ts';
import { type LiveOptions, LiveSource } from './source/live-source.ts';

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
  /**
   * Watches by samples while the guest runs, as `ptmon watch --mode sample`, and has the kernel note which page tables are written: `lost`
   * of a watch then says where nothing was missed. Takes root, or CAP_SYS_PTRACE, on QEMU's host, Linux 6.7 or newer, and a C compiler. Makes one
   * system call in QEMU's process. Breakpoints and writing are not possible then. Defaults to false.
   */
  readonly proof?: boolean;
  /** Of a file: a CR3 value, and how the guest translates addresses, where the file has no registers and no search is sure of a root. */
  readonly root?: bigint;
  readonly paging?: PagingModeName;
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
  checkOptions('attach', options, { signal: 'any', proof: 'boolean', root: 'any', paging: 'any' });
  const { signal } = options;
  if (signal !== undefined && typeof signal?.throwIfAborted !== 'function')
    throw new PtmonError('bad-argument', 'attach: the signal is no AbortSignal');
  if (typeof where === 'object' && where !== null) {
    checkFields(where);
    return 'file' in where ? attachFile(where.file, options) : attachLive(where, options);
  }
  if (where !== undefined && typeof where !== 'string' && typeof where !== 'number')
    throw new PtmonError('bad-argument', `${String(where)} is no guest: ${FORMS}`);
  if (typeof where === 'string') {
    const kind = kindOfPath(where);
    if (kind === 'file') return attachFile(where, options);
    if (kind === 'socket') throw new PtmonError('bad-argument', `${where} is a socket: name both, as { qmp, gdb }`);
    if (where.includes('/') && !listVms().some(({ name }) => name === where))
      throw new PtmonError('bad-argument', `${where} is neither a file nor a VM: ${FORMS}`);
  }
  return attachLive(socketsOf(chooseVm(where)), options);
}

async function attachLive(sockets: LiveOptions, { signal, proof, root, paging }: AttachOptions): Promise<Guest> {
  if (root !== undefined || paging !== undefined)
    throw new PtmonError('bad-argument', 'root and paging are for a file: a live guest has registers');
  return new Guest(await LiveSource.open({ ...sockets, ...(proof !== undefined && { proof }) }, signal));
}

async function attachFile(path: string, { signal, proof, root, paging: mode }: AttachOptions): Promise<Guest> {
  if (proof === true) throw new PtmonError('bad-argument', `${path} is a file: there are no samples, and no proof`);
  const space = { ...(root !== undefined && { root }), ...(mode !== undefined && { mode }) };
  return new Guest(await FileSource.open(path, space, signal));
}

const FORMS = "give a VM's name or QEMU's PID, { qmp, gdb }, or the path of a dump or a trace";

/** A field with another name is a slip: without `gdb` a guest would be sampled, without a word. */
function checkFields(where: object): void {
  const known = 'file' in where ? ['file'] : ['qmp', 'gdb', 'name'];
  const fields = Object.entries(where).filter(([, value]) => value !== undefined);
  const strange = fields.find(([name, value]) => !known.includes(name) || typeof value !== 'string');
  if (strange !== undefined)
    throw new PtmonError('bad-argument', `${strange[0]}: ${String(strange[1])} is no part of a guest: ${FORMS}`);
  if (!fields.some(([name]) => name === known[0]))
    throw new PtmonError('bad-argument', `the guest has no ${known[0]}: ${FORMS}`);
}

function kindOfPath(path: string): 'file' | 'socket' | undefined {
  if (path.startsWith('unix:')) return 'socket';
  // A name may be longer than that of a file can be.
  const stats = existsSync(path) ? statSync(path, { throwIfNoEntry: false }) : undefined;
  if (stats?.isSocket() === true) return 'socket';
  return stats?.isFile() === true || stats?.isBlockDevice() === true ? 'file' : undefined;
}

function socketsOf({ name, pid, qmp, gdb, missing }: Vm) {
  if (qmp !== undefined) return { name, qmp, gdb };
  throw new PtmonError('bad-argument', `VM ${name} (PID ${pid}) has ${noQmpText({ missing })}`);
}
