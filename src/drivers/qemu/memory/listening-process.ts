/** Which process on this host listens on a socket: proc(5), /proc/net and /proc/PID/fd. */
import { lookup } from 'node:dns/promises';
import { readdirSync, readFileSync, readlinkSync, realpathSync } from 'node:fs';
import { networkInterfaces } from 'node:os';
import { isAbsolute, join, resolve } from 'node:path';
import process from 'node:process';
import { PtmonError } from '../../../core/error.ts';
import { formatSocketAddress, parseSocketAddress, type SocketAddress } from '../transport/socket-address.ts';
import { isVirshAddress } from '../transport/virsh-transport.ts';

/** `st` of a socket that listens, in /proc/net/tcp. */
const TCP_LISTEN = '0A';
/** `Flags` of a socket that listens, in /proc/net/unix: __SO_ACCEPTCON. */
const UNIX_LISTENS = 0x1_0000;

interface ListeningSocket {
  readonly inode: string;
  /** The path as its process gave it. */
  readonly path: string | null;
}

/**
 * The processes that hold the listening end of a socket: one, unless it has handed it on.
 *
 * @throws PtmonError `source-unavailable` where there is none on this host, or none that this user may see
 */
export async function findListeningProcesses(address: string): Promise<readonly number[]> {
  if (isVirshAddress(address)) return domainProcesses(address);
  const target = parseSocketAddress(address);
  const name = formatSocketAddress(target);
  if (target.kind === 'tcp' && !(await isHere(target.host))) {
    throw new PtmonError('source-unavailable', `${target.host} of ${name} is not this host`);
  }
  const sockets = target.kind === 'unix' ? unixSockets(target.path) : tcpSockets(target);
  const { holders, hasUnheld, hidden } = holdersOf(sockets, target);
  if (holders.length > 0) return holders;
  if (!hasUnheld) {
    throw new PtmonError(
      'source-unavailable',
      `no process that can be seen from here listens on ${name}: if QEMU runs in a container of its own network, run ptmon ` +
        'in the namespaces of QEMU (nsenter --target PID --all), or give --ram-file',
    );
  }
  throw new PtmonError(
    'source-unavailable',
    hidden > 0
      ? `the process that listens on ${name} is another user's; run as that user or as root`
      : `the process that listens on ${name} is in another PID namespace and cannot be seen from here: run ptmon in the namespaces of ` +
          'QEMU (nsenter --target PID --all) or outside of them, or give --ram-file',
  );
}

/** libvirt's daemons keep a file with the number of each domain's process: the system's, and that of each user's session. */
function domainProcesses(address: string): number[] {
  const domain = address.slice(address.indexOf(':') + 1);
  const own = process.env['XDG_RUNTIME_DIR'];
  const folders = ['/run/libvirt/qemu', ...(own ? [join(own, 'libvirt/qemu/run')] : [])];
  const paths = folders.map((folder) => join(folder, `${domain}.pid`));
  const numbers = paths.map(numberIn).filter((number) => number !== undefined);
  if (numbers.length > 0) return numbers;
  const what = `${address}: its process is unknown: ${paths.join(' and ')} cannot be read`;
  throw new PtmonError('source-unavailable', what);
}

function numberIn(path: string): number | undefined {
  try {
    const number = Number(readFileSync(path, 'utf8'));
    return Number.isSafeInteger(number) && number > 0 ? number : undefined;
  } catch {
    return undefined;
  }
}

async function isHere(host: string): Promise<boolean> {
  const own = new Set(Object.values(networkInterfaces()).flatMap((list) => (list ?? []).map(({ address }) => address)));
  const found = await lookup(host, { all: true }).catch(() => []);
  return found.some(({ address }) => address.startsWith('127.') || address === '::1' || own.has(address));
}

/** Those that the path may mean: a path that is not absolute is only as good as its process. */
function unixSockets(path: string): ListeningSocket[] {
  return tableOf('unix').flatMap((line) => {
    // Num RefCount Protocol Flags Type St Inode Path
    const [, flags, inode, bound] = /^\S+ \S+ \S+ (\S+) \S+ \S+ +(\d+) (.+)$/.exec(line) ?? [];
    const listens = (Number.parseInt(flags ?? '0', 16) & UNIX_LISTENS) !== 0;
    if (!listens || bound === undefined) return [];
    if (isAbsolute(bound) && realPath(bound) !== realPath(path)) return [];
    return bound.startsWith('@') ? [] : [{ inode: inode!, path: bound }];
  });
}

/** Whatever address of this host it is bound to. */
function tcpSockets({ port }: Extract<SocketAddress, { kind: 'tcp' }>): ListeningSocket[] {
  const suffix = `:${port.toString(16).toUpperCase().padStart(4, '0')}`;
  return ['tcp', 'tcp6'].flatMap(tableOf).flatMap((line) => {
    // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode
    const [, local, , state, , , , , , inode] = line.trim().split(/\s+/);
    return state === TCP_LISTEN && local!.endsWith(suffix) ? [{ inode: inode!, path: null }] : [];
  });
}

interface Holders {
  readonly holders: number[];
  /** Whether any of the sockets is held by no process that can be seen from here. */
  readonly hasUnheld: boolean;
  /** Processes of other users. */
  readonly hidden: number;
}

/** A process may be gone, or another user's. */
function holdersOf(sockets: readonly ListeningSocket[], target: SocketAddress): Holders {
  const byLink = new Map(sockets.map((socket) => [`socket:[${socket.inode}]`, socket]));
  const unheld = new Set(sockets);
  const holders: number[] = [];
  let hidden = 0;
  for (const pid of readdirSync('/proc').filter((entry) => /^\d+$/.test(entry))) {
    let links: (string | undefined)[] = [];
    try {
      links = readdirSync(`/proc/${pid}/fd`).map((fd) => linkAt(`/proc/${pid}/fd/${fd}`));
    } catch (error) {
      if ((error as { code?: string }).code === 'EACCES') hidden++;
    }
    const found = links.map((link) => byLink.get(link ?? '')).filter((socket) => socket !== undefined);
    for (const socket of found) unheld.delete(socket);
    if (found.some((socket) => isMeant(socket, Number(pid), target))) holders.push(Number(pid));
  }
  return { holders, hasUnheld: unheld.size > 0, hidden };
}

function isMeant({ path }: ListeningSocket, pid: number, target: SocketAddress): boolean {
  if (path === null || target.kind !== 'unix' || isAbsolute(path)) return true;
  const cwd = linkAt(`/proc/${pid}/cwd`);
  return cwd !== undefined && realPath(resolve(cwd, path)) === realPath(target.path);
}

function tableOf(name: string): string[] {
  try {
    return readFileSync(`/proc/net/${name}`, 'utf8').split('\n').slice(1);
  } catch {
    // A system without IPv6, or without /proc.
    return [];
  }
}

function linkAt(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return resolve(path);
  }
}
