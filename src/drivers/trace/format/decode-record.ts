/** Bytes to records. Whatever the bytes are, an answer or a PtmonError `corrupt-input`. */
import { PA_LIMIT, paOf } from '../../../core/address/pa.ts';
import { hex } from '../../../core/address/va.ts';
import type { SourceEvent } from '../../../driver/driver.ts';
import type { EventName, EventNames } from '../../../driver/session-parts.ts';
import type { WatchCall } from '../../../driver/watch-calls.ts';
import type { ByteReader } from './byte-reader.ts';
import { corrupt } from './corrupt.ts';
import {
  CALL_KINDS,
  CAPTURES,
  type ChangesRecord,
  type EndRecord,
  ENDINGS,
  FIRST_OPTIONAL_RECORD,
  FRAME_SLOTS,
  type OwnerRun,
  RECORD,
  TAG,
  type SlotChange,
  type TableRecord,
  type TraceRecord,
} from './records.ts';

const GFN_LIMIT = PA_LIMIT / 4096;
const VCPU_LIMIT = 2 ** 20;
const PAGE_LIMIT = 2 ** 40;
const PID_LIMIT = 2 ** 31;
/** Of one event. */
const MAX_TAGS = 2 ** 16;

/** Reads one record; undefined for one that need not be known. @throws PtmonError `corrupt-input` */
export function decodeRecord(from: ByteReader): TraceRecord | undefined {
  const type = from.u8();
  const body = from.part(from.varint());
  const record = readBody(type, body);
  // What follows in a record that is known was added by a later minor version.
  if (record === undefined && type < FIRST_OPTIONAL_RECORD) throw corrupt(`unknown record type ${type}`);
  return record;
}

function readBody(type: number, body: ByteReader): TraceRecord | undefined {
  switch (type) {
    case RECORD.table:
      return readTable(body);
    case RECORD.noMemory:
      return { type: 'no-memory', gfn: readGfn(body) };
    case RECORD.left:
      return { type: 'left', gfns: readGfns(body) };
    case RECORD.changes:
      return readChanges(body);
    case RECORD.registers:
      return {
        type: 'registers',
        vcpu: below(VCPU_LIMIT, body, 'vCPU'),
        registers: { cr0: body.u64(), cr3: body.u64(), cr4: body.u64(), efer: body.u64() },
      };
    case RECORD.write:
    case RECORD.commit:
    case RECORD.missed:
    case RECORD.rootGone:
      return { type: 'said', said: readSaid(type, body) };
    case RECORD.call:
      return { type: 'call', call: readCall(body) };
    case RECORD.names:
      return { type: 'names', ...readNames(body) };
    case RECORD.owners:
      return { type: 'owners', runs: readOwners(body) };
    case RECORD.note:
      return { type: 'note', text: body.utf8() };
    case RECORD.instant:
      return { type: 'instant', sinceUs: body.varint() };
    case RECORD.end:
      return readEnd(body);
    default:
      return undefined;
  }
}

function readTable(body: ByteReader): TableRecord {
  const gfn = readGfn(body);
  const words = new Uint32Array(2 * FRAME_SLOTS);
  for (let slot = 0; body.left > 0; ) {
    slot += body.varint();
    const end = slot + body.varint();
    if (end > FRAME_SLOTS) throw corrupt(`a table has ${FRAME_SLOTS} slots, not ${end}`);
    for (; slot < end; slot++) {
      words[2 * slot] = body.u32();
      words[2 * slot + 1] = body.u32();
    }
  }
  return { type: 'table', gfn, words };
}

function readChanges(body: ByteReader): ChangesRecord {
  const capture = CAPTURES[body.u8()];
  if (capture === undefined) throw corrupt('unknown kind of capture');
  const changes: SlotChange[] = [];
  while (body.left > 0) {
    const gfn = readGfn(body);
    for (let count = body.varint(); count > 0; count--) {
      const slot = below(FRAME_SLOTS, body, 'slot');
      changes.push({ pa: paOf(gfn, slot * 8), lo: body.u32(), hi: body.u32() });
    }
  }
  return { type: 'changes', capture, changes };
}

function readSaid(type: number, body: ByteReader): SourceEvent {
  if (type === RECORD.missed) {
    const lost = body.varint();
    return { kind: 'missed', lost: lost === 0 ? null : lost - 1, reason: body.utf8() };
  }
  if (type === RECORD.rootGone) return { kind: 'root-gone', root: below(PA_LIMIT, body, 'root') };
  const vcpu = below(VCPU_LIMIT, body, 'vCPU');
  if (type === RECORD.commit) return { kind: 'commit', vcpu };
  const view = body.varint();
  const pa = below(PA_LIMIT, body, 'physical address');
  const byteLength = body.varint();
  if (byteLength === 0 || pa + byteLength > PA_LIMIT) throw corrupt(`no write has ${byteLength} bytes at ${hex(pa)}`);
  return { kind: 'write', vcpu, view, pa, byteLength };
}

function readCall(body: ByteReader): WatchCall {
  const kind = CALL_KINDS[body.u8()];
  if (kind === undefined) throw corrupt('unknown kind of call');
  if (kind === 'unmonitorAll') return { kind };
  const all = body.varint();
  const view = all === 0 ? undefined : all - 1;
  if (kind === 'unmonitorView' || kind === 'resync') return { kind, view };
  const root = body.u64();
  if (kind === 'rootGone') return { kind, root, view };
  if (view === undefined) throw corrupt('a call that watches an address names no view');
  const va = body.u64();
  const isRange = kind === 'monitorRange' || kind === 'unmonitorRange';
  const range = isRange ? { byteLength: body.u64(), runs: body.u8() === 1 } : undefined;
  const tag = readTag(body);
  const address = { view, root, va, ...(tag !== undefined && { tag }) };
  return range === undefined
    ? { kind: kind as 'monitor', ...address }
    : { kind: kind as 'monitorRange', ...address, ...range };
}

function readOwners(body: ByteReader): OwnerRun[] {
  const runs: OwnerRun[] = [];
  while (body.left > 0) {
    const [count, pid] = [body.varint(), below(PID_LIMIT, body, 'PID')];
    if (pid === 0) {
      runs.push({ count, owner: undefined });
      continue;
    }
    const [comm, map] = [readText(body) ?? '', readText(body)];
    const owner = { pid: pid - 1, comm: String(comm), ...(map !== undefined && { map: String(map) }) };
    runs.push({ count, owner });
  }
  return runs;
}

function readNames(body: ByteReader): EventNames {
  const found = body.varint();
  const names: EventName[] = [];
  while (body.left > 0) {
    const [event, skippedPages, pages] = [
      body.varint(),
      below(PAGE_LIMIT, body, 'page'),
      below(PAGE_LIMIT, body, 'page'),
    ];
    const tags = Array.from({ length: below(MAX_TAGS, body, 'number of tags') }, () => readText(body) ?? '');
    const [oldMeaning, newMeaning] = [readText(body), readText(body)];
    names.push({
      event,
      skippedPages,
      pages: pages === 0 ? undefined : pages,
      tags,
      ...(oldMeaning !== undefined && { oldMeaning: String(oldMeaning) }),
      ...(newMeaning !== undefined && { newMeaning: String(newMeaning) }),
    });
  }
  return { found, names };
}

function readText(body: ByteReader): string | number | undefined {
  const kind = body.u8();
  const text = body.part(body.varint()).utf8();
  if (kind === TAG.number) return Number(text);
  return kind === TAG.text ? text : undefined;
}

function readTag(body: ByteReader): string | number | undefined {
  const kind = body.u8();
  switch (kind) {
    case TAG.none:
      return undefined;
    case TAG.text:
      return body.utf8();
    case TAG.number:
      return body.f64();
    default:
      throw corrupt(`unknown kind of tag: ${kind}`);
  }
}

function readEnd(body: ByteReader): EndRecord {
  const ended = ENDINGS[body.u8()];
  if (ended === undefined) throw corrupt('unknown kind of end');
  if (body.left === 0) return { type: 'end', ended };
  const [code = '', ...message] = body.utf8().split('\n');
  return { type: 'end', ended, failure: { code, message: message.join('\n') } };
}

function readGfns(body: ByteReader): number[] {
  const gfns: number[] = [];
  while (body.left > 0) gfns.push(readGfn(body));
  return gfns;
}

function readGfn(body: ByteReader): number {
  return below(GFN_LIMIT, body, 'frame number');
}

function below(limit: number, body: ByteReader, what: string): number {
  const value = body.varint();
  if (value >= limit) throw corrupt(`the ${what} ${value} is not below ${limit}`);
  return value;
}
