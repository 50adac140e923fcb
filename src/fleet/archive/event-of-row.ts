/** Events as the rows of an archive have them: the way back from `row.ts`. */
import { toPa } from '../../core/address/pa.ts';
import type { Pa } from '../../core/address/types.ts';
import type { BackedRun, Cause, MonitorEvent } from '../../core/monitor/events.ts';
import type { Rights } from '../../core/paging/rights.ts';
import type { Row } from './row.ts';

/** An event as a row has it. */
export interface ArchivedEvent {
  readonly event: MonitorEvent;
  /** Of `page-in` and `protection`: the rights from now on, where the row has them. */
  readonly rights: Rights | undefined;
}

/** Undefined for rows that are no events. */
export function eventOfRow(row: Row): ArchivedEvent | undefined {
  const kind = row['kind'];
  const rights = rightsOfRow(row, '');
  const base = { view: Number(row['view']), root: rootOfRow(row), va: BigInt(row['va'] ?? 0), ...factsOf(row) };
  const { pa, pageSize, pages } = backedOfRow(row);
  switch (kind) {
    case 'page-in':
    case 'page-out':
      return { event: { kind, ...base, pa, pageSize, pages }, rights };
    case 'protection': {
      if (rights === undefined) return undefined;
      const oldRights = rightsOfRow(row, 'old_') ?? rights;
      return { event: { kind, ...base, pa, pageSize, pages, oldRights, newRights: rights }, rights };
    }
    case 'restructure':
      return { event: { kind, ...base, pa, pageSize, pages, oldPageSize: Number(row['old_page_size']) }, rights };
    case 'root-gone':
      return { event: { kind, ...base, pages }, rights };
    default:
      return undefined;
  }
}

/** Of an event or of `backed`: its pages, and what is behind them. */
export function backedOfRow(row: Row): BackedRun {
  return {
    va: BigInt(row['va'] ?? 0),
    pa: paIn(row, 'pa'),
    pageSize: Number(row['page_size'] ?? 4096),
    pages: Number(row['pages'] ?? 1),
  };
}

export function rootOfRow(row: Row): Pa {
  return paIn(row, 'root');
}

export function tagsOfRow(row: Row): readonly string[] {
  return JSON.parse(String(row['tags'] ?? '[]')) as string[];
}

function factsOf(row: Row) {
  const { pid, comm, map, vcpu } = row;
  return {
    tags: tagsOfRow(row),
    vcpu: vcpu === undefined ? null : Number(vcpu),
    cause: causeOf(row),
    time: { us: Number(row['time_us'] ?? 0), at: isoOf(Number(row['time'])) },
    ...(pid !== undefined && { pid: Number(pid) }),
    ...(comm !== undefined && { comm: String(comm) }),
    ...(map !== undefined && { map: String(map) }),
  };
}

function causeOf(row: Row): Cause | null {
  const { old_meaning: oldMeaning, new_meaning: newMeaning } = row;
  if (row['entry_pa'] === undefined) return null;
  return {
    entryPa: paIn(row, 'entry_pa'),
    level: Number(row['level']),
    oldValue: BigInt(row['old_value'] ?? 0),
    newValue: BigInt(row['new_value'] ?? 0),
    ...(oldMeaning !== undefined && { oldMeaning: String(oldMeaning) }),
    ...(newMeaning !== undefined && { newMeaning: String(newMeaning) }),
  };
}

/** @param prefix `old_` for the rights before */
function rightsOfRow(row: Row, prefix: string): Rights | undefined {
  const writable = row[`${prefix}writable`];
  if (writable === undefined) return undefined;
  return {
    writable: writable === true,
    user: row[`${prefix}user`] === true,
    noExecute: row[`${prefix}executable`] !== true,
    protectionKey: Number(row[`${prefix}protection_key`] ?? 0),
  };
}

/** @param time in microseconds since 1970 */
function isoOf(time: number): string {
  const micros = String(time % 1000).padStart(3, '0');
  return new Date(Math.floor(time / 1000)).toISOString().replace('Z', `${micros}Z`);
}

/** @throws PtmonError where that is no physical address */
function paIn(row: Row, column: string): Pa {
  return toPa(BigInt(row[column] ?? 0), column);
}
