/** One session out of an archive: everything that was recorded while an agent watched a VM. */
import { PtmonError } from '../../core/error.ts';
import { cannotRead } from './cannot-read.ts';
import { archiveIn, filesOf, partitionsOf } from './partition.ts';
import { DAMAGED_HINT, readParquet } from './parquet.ts';
import type { Row } from './row.ts';

/** So many rows take about a gigabyte. */
const MAX_ROWS = 1_000_000;
/** So many VMs are named in an error. */
const MAX_NAMED = 10;
const MAX_TRIES = 5;

export interface SessionRows {
  readonly host: string;
  readonly vm: string;
  /** In the order of the session. */
  readonly rows: readonly Row[];
  /** Rows before those, left out because there are too many. */
  readonly omitted: number;
}

interface Session {
  readonly files: Set<string>;
  /** Of its last row. */
  time: bigint;
}

interface Found {
  readonly host: string;
  readonly vm: string;
  /** By name: two at one time, where two VMs have one name, or a clock was set back. */
  readonly sessions: Map<string, Session>;
}

/**
 * The last session of a VM.
 *
 * @param folder of an agent or of an archive
 * @param wanted `VM` or `HOST/VM`; may be left out where there is only one
 * @throws PtmonError `bad-argument` where there is no archive, no such VM, or more than one; `corrupt-input` where a file is damaged or lost
 */
export async function lastSession(folder: string, wanted?: string, signal?: AbortSignal): Promise<SessionRows> {
  for (let tries = 1; ; tries++) {
    try {
      return await readLastSession(folder, wanted, signal);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT') throw cannotRead(folder, error);
      // A file was merged since it was listed.
      if (tries < MAX_TRIES) continue;
      throw new PtmonError('corrupt-input', `${message}\n${DAMAGED_HINT}`, {}, { cause: error });
    }
  }
}

async function readLastSession(folder: string, wanted?: string, signal?: AbortSignal): Promise<SessionRows> {
  const found = choose(folder, await findVms(folder, signal), wanted);
  let rows: Row[] = [];
  let omitted = 0;
  const trim = () => {
    rows.sort((a, b) => Number(a['segment']) - Number(b['segment']) || Number(a['line']) - Number(b['line']));
    const more = Math.max(0, rows.length - MAX_ROWS);
    omitted += more;
    rows = rows.slice(more);
  };
  const [name, { files }] = [...found.sessions].reduce((last, next) => (next[1].time > last[1].time ? next : last));
  for (const file of files) {
    for await (const group of readParquet(file)) {
      signal?.throwIfAborted();
      for (const row of group) if (row['session'] === name) rows.push(row);
      if (rows.length > 1.25 * MAX_ROWS) trim();
    }
  }
  trim();
  return { host: found.host, vm: found.vm, rows, omitted };
}

async function findVms(folder: string, signal?: AbortSignal): Promise<readonly Found[]> {
  const vms = new Map<string, Found>();
  for (const file of partitionsOf(archiveIn(folder)).flatMap(filesOf)) {
    for await (const group of readParquet(file, ['host', 'vm', 'session', 'time'])) {
      signal?.throwIfAborted();
      for (const row of group) note(vms, row, file);
    }
  }
  return [...vms.values()];
}

function note(vms: Map<string, Found>, row: Row, file: string): void {
  const [host, vm, session] = [String(row['host']), String(row['vm']), String(row['session'])];
  const time = BigInt(row['time'] ?? 0);
  // Either may have a slash.
  const name = JSON.stringify([host, vm]);
  const { sessions } = vms.get(name) ?? { sessions: new Map<string, Session>() };
  if (sessions.size === 0) vms.set(name, { host, vm, sessions });
  const known = sessions.get(session) ?? { files: new Set<string>(), time };
  sessions.set(session, known);
  known.files.add(file);
  if (time > known.time) known.time = time;
}

function choose(folder: string, vms: readonly Found[], wanted: string | undefined): Found {
  const fitting = vms.filter(({ host, vm }) => wanted === undefined || wanted === vm || wanted === `${host}/${vm}`);
  const [found, ...others] = fitting;
  if (found !== undefined && others.length === 0) return found;
  const named = (found === undefined ? vms : fitting).map(({ host, vm }) => `${host}/${vm}`).sort();
  const names =
    named.slice(0, MAX_NAMED).join(', ') + (named.length > MAX_NAMED ? `, and ${named.length - MAX_NAMED} more` : '');
  if (vms.length === 0) throw new PtmonError('bad-argument', `${folder}: nothing is archived yet`);
  const what = found === undefined ? `no VM ${wanted} in the archive` : 'events of several VMs';
  throw new PtmonError('bad-argument', `${folder}: ${what}: choose one with --of: ${names}`);
}
