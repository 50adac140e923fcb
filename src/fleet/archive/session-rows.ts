/** One session out of an archive: everything that was recorded while an agent watched a VM. */
import { PtmonError } from '../../core/error.ts';
import { archiveIn, filesOf, partitionsOf } from './partition.ts';
import { readParquet } from './parquet.ts';
import type { Row } from './row.ts';

/** So many rows take about a gigabyte. */
const MAX_ROWS = 1_000_000;
/** So many VMs are named in an error. */
const MAX_NAMED = 10;

export interface SessionRows {
  readonly host: string;
  readonly vm: string;
  /** In the order of the session. */
  readonly rows: readonly Row[];
  /** Rows before those, left out because there are too many. */
  readonly omitted: number;
}

interface Found {
  readonly host: string;
  readonly vm: string;
  /** The last one of the VM. */
  session: string;
  time: bigint;
  readonly files: Set<string>;
}

/**
 * The last session of a VM.
 *
 * @param folder of an agent or of an archive
 * @param wanted `VM` or `HOST/VM`; may be left out where there is only one
 * @throws PtmonError `bad-argument` where there is no archive, no such VM, or more than one
 */
export async function lastSession(folder: string, wanted?: string, signal?: AbortSignal): Promise<SessionRows> {
  const found = choose(folder, await findVms(folder, signal), wanted);
  let rows: Row[] = [];
  let omitted = 0;
  const trim = () => {
    rows.sort((a, b) => Number(a['segment']) - Number(b['segment']) || Number(a['line']) - Number(b['line']));
    const more = Math.max(0, rows.length - MAX_ROWS);
    omitted += more;
    rows = rows.slice(more);
  };
  for (const file of found.files) {
    for await (const group of readParquet(file)) {
      signal?.throwIfAborted();
      for (const row of group) if (row['session'] === found.session) rows.push(row);
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
  const name = `${host}/${vm}`;
  let found = vms.get(name);
  if (found === undefined) vms.set(name, (found = { host, vm, session, time, files: new Set() }));
  if (found.session !== session && time > found.time) {
    found.session = session;
    found.files.clear();
  }
  if (found.session === session) found.files.add(file);
  if (time > found.time) found.time = time;
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
