/** A line of a journal as a row of the archive (docs/formats/parquet.md). */
import { type Fields, type JournalLine, timeOf } from '../journal/read-segment.ts';

/** What a row is made of. Undefined is NULL. */
export type Row = Readonly<Record<string, string | number | bigint | boolean | undefined>>;

/** One row for an event and for most other lines, one for each run of a `watch` line, none for `unwatch`. */
export function rowsOf({ fields: line, place }: Omit<JournalLine, 'text'>): readonly Row[] {
  const at = atOf({ fields: line, place });
  switch (line['kind']) {
    case 'header':
      return [{ ...at, kind: 'begin', reason: `${text(line['source'])}, ${text(line['mode'])}` }];
    case 'end':
      return [{ ...at, kind: 'end', reason: text(line['ended']) }, ...lossRow(at, fieldsOf(line['lost']))];
    case 'gap':
    case 'dropped':
      return [gapRow({ fields: line, place }, big(line['count']), text(line['reason']) ?? 'nobody read')];
    case 'unwatch':
      return [];
    case 'watch': {
      const runs = Array.isArray(line['backed']) ? line['backed'].map(fieldsOf) : [];
      const watch = {
        ...at,
        ...ownerOf(line),
        time_us: usOf(line),
        view: line['view'] as number,
        root: big(line['root']),
      };
      return runs.map((run) => ({ ...watch, kind: 'backed', ...placeOf(run) }));
    }
    default:
      return [{ ...at, ...eventOf(line) }];
  }
}

/** @param missing undefined where that is unknown */
export function gapRow(line: Omit<JournalLine, 'text'>, missing: bigint | undefined, reason: string): Row {
  return { ...atOf(line), kind: 'gap', missing, reason };
}

function atOf({ fields, place }: Omit<JournalLine, 'text'>): Row {
  const { host, vm, boot, session, segment, line, after } = place;
  return { host, vm, boot, session, segment, line, time: BigInt(timeOf(fields) ?? after) };
}

/** Changes that the source missed, as the session counted them. */
function lossRow(at: Row, { known, unknown, reasons }: Fields): Row[] {
  if (unknown !== true && !(Number(known) > 0)) return [];
  const why = Array.isArray(reasons) ? reasons.join('; ') : undefined;
  return [
    { ...at, kind: 'gap', missing: unknown === true ? undefined : big(known), reason: why ?? 'missed by the source' },
  ];
}

function eventOf(line: Fields): Row {
  const cause = fieldsOf(line['cause']);
  return {
    seq: big(line['seq']),
    time_us: usOf(line),
    kind: text(line['kind']),
    view: line['view'] as number,
    root: big(line['root']),
    ...placeOf(line),
    old_page_size: big(line['oldPageSize']),
    ...rightsOf(line, cause),
    ...ownerOf(line),
    vcpu: (line['vcpu'] as number | null) ?? undefined,
    entry_pa: big(cause['entryPa']),
    level: cause['level'] as number | undefined,
    old_value: big(cause['oldValue']),
    new_value: big(cause['newValue']),
    old_meaning: text(cause['oldMeaning']),
    new_meaning: text(cause['newMeaning']),
  };
}

function placeOf(run: Fields): Row {
  return {
    va: big(run['va']),
    pa: big(run['pa']),
    page_size: big(run['pageSize']),
    pages: BigInt(Number(run['pages'] ?? 1)),
  };
}

/** Effective rights where they changed; for a page-in, those of the leaf where its own entry is what changed. */
function rightsOf(line: Fields, cause: Fields): Row {
  if (line['kind'] === 'protection') {
    const [now, before] = [fieldsOf(line['newRights']), fieldsOf(line['oldRights'])];
    return {
      writable: now['writable'] === true,
      executable: now['noExecute'] !== true,
      user: now['user'] === true,
      protection_key: now['protectionKey'] as number,
      old_writable: before['writable'] === true,
      old_executable: before['noExecute'] !== true,
      old_user: before['user'] === true,
      old_protection_key: before['protectionKey'] as number,
    };
  }
  const value = big(cause['newValue']);
  if (line['kind'] !== 'page-in' || value === undefined) return {};
  const isLeaf = cause['level'] === 1 || (value & 0x80n) !== 0n;
  if (!isLeaf) return {};
  return { writable: (value & 2n) !== 0n, executable: value >> 63n === 0n, user: (value & 4n) !== 0n };
}

/** Recordings from before there were these keys have the same in their tags: `nginx[12]`, `nginx[12]:heap`. */
function ownerOf({ pid, comm, map, tags }: Fields): Row {
  const list = Array.isArray(tags) ? tags : [];
  const [, name, number, area] = /^(.*)\[(\d{1,9})\](?::(.*))?$/s.exec(String(list[0] ?? '')) ?? [];
  const second = typeof list[1] === 'string' ? list[1] : undefined;
  return {
    pid: typeof pid === 'number' ? pid : number === undefined ? undefined : Number(number),
    comm: text(comm) ?? name,
    map: text(map) ?? area ?? (number === undefined ? undefined : second),
    tags: JSON.stringify(list),
  };
}

function usOf(line: Fields): bigint | undefined {
  const us = fieldsOf(line['time'])['us'];
  return typeof us === 'number' && us >= 0 ? BigInt(Math.round(us)) : undefined;
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function big(value: unknown): bigint | undefined {
  return typeof value === 'string' || typeof value === 'number' ? BigInt(value) : undefined;
}

function fieldsOf(value: unknown): Fields {
  return typeof value === 'object' && value !== null ? (value as Fields) : {};
}
