/** Records to bytes. */
import { gfnOf, frameOffsetOf } from '../../../core/address/pa.ts';
import type { SourceEvent } from '../../../driver/driver.ts';
import type { WatchCall } from '../../../driver/watch-calls.ts';
import { ByteWriter } from './byte-writer.ts';
import {
  CALL_KINDS,
  CAPTURES,
  type ChangesRecord,
  ENDINGS,
  FRAME_SLOTS,
  type NamesRecord,
  type OwnersRecord,
  RECORD,
  TAG,
  type TraceRecord,
} from './records.ts';

export class RecordEncoder {
  readonly #body = new ByteWriter();

  /** Appends a record: its type, the length of its body, its body. */
  encode(record: TraceRecord, into: ByteWriter): void {
    this.#body.clear();
    const type = writeBody(record, this.#body);
    into.u8(type);
    into.varint(this.#body.length);
    into.append(this.#body.bytes);
  }
}

/** Returns the record's type. */
function writeBody(record: TraceRecord, body: ByteWriter): number {
  switch (record.type) {
    case 'table':
      body.varint(record.gfn);
      writeSlots(record.words, body);
      return RECORD.table;
    case 'no-memory':
      body.varint(record.gfn);
      return RECORD.noMemory;
    case 'left':
      for (const gfn of record.gfns) body.varint(gfn);
      return RECORD.left;
    case 'changes':
      writeChanges(record, body);
      return RECORD.changes;
    case 'registers': {
      const { cr0, cr3, cr4, efer } = record.registers;
      body.varint(record.vcpu);
      for (const value of [cr0, cr3, cr4, efer]) body.u64(value);
      return RECORD.registers;
    }
    case 'said':
      return writeSaid(record.said, body);
    case 'call':
      writeCall(record.call, body);
      return RECORD.call;
    case 'names':
      writeNames(record, body);
      return RECORD.names;
    case 'owners':
      writeOwners(record, body);
      return RECORD.owners;
    case 'note':
      body.utf8(record.text);
      return RECORD.note;
    case 'instant':
      body.varint(record.sinceUs);
      return RECORD.instant;
    case 'end':
      body.u8(ENDINGS.indexOf(record.ended));
      if (record.failure !== undefined) body.utf8(`${record.failure.code}\n${record.failure.message}`);
      return RECORD.end;
  }
}

/** Runs of slots that are not zero: how many are skipped, how many follow, and those. */
function writeSlots(words: Uint32Array, body: ByteWriter): void {
  const isZero = (slot: number): boolean => words[2 * slot] === 0 && words[2 * slot + 1] === 0;
  for (let slot = 0, start = 0; slot < FRAME_SLOTS; ) {
    while (slot < FRAME_SLOTS && isZero(slot)) slot++;
    if (slot === FRAME_SLOTS) return;
    let end = slot;
    while (end < FRAME_SLOTS && !isZero(end)) end++;
    body.varint(slot - start);
    body.varint(end - slot);
    for (; slot < end; slot++) body.words(words[2 * slot]!, words[2 * slot + 1]!);
    start = end;
  }
}

/** By frame: its number, how many of its slots, and for each its index and what it holds now. */
function writeChanges({ capture, changes }: ChangesRecord, body: ByteWriter): void {
  body.u8(CAPTURES.indexOf(capture));
  for (let from = 0; from < changes.length; ) {
    const gfn = gfnOf(changes[from]!.pa);
    let to = from;
    while (to < changes.length && gfnOf(changes[to]!.pa) === gfn) to++;
    body.varint(gfn);
    body.varint(to - from);
    for (; from < to; from++) {
      const { pa, lo, hi } = changes[from]!;
      body.varint(frameOffsetOf(pa) / 8);
      body.words(lo, hi);
    }
  }
}

function writeSaid(said: SourceEvent, body: ByteWriter): number {
  switch (said.kind) {
    case 'write':
      body.varint(said.vcpu);
      body.varint(said.view);
      body.varint(said.pa);
      body.varint(said.byteLength);
      return RECORD.write;
    case 'commit':
      body.varint(said.vcpu);
      return RECORD.commit;
    case 'missed':
      body.varint(said.lost === null ? 0 : said.lost + 1);
      body.utf8(said.reason);
      return RECORD.missed;
    case 'root-gone':
      body.varint(said.root);
      return RECORD.rootGone;
  }
}

function writeCall(call: WatchCall, body: ByteWriter): void {
  body.u8(CALL_KINDS.indexOf(call.kind));
  if (call.kind === 'unmonitorAll') return;
  body.varint(call.view === undefined ? 0 : call.view + 1);
  if (!('root' in call)) return;
  body.u64(call.root);
  if (!('va' in call)) return;
  body.u64(call.va);
  if ('byteLength' in call) {
    body.u64(call.byteLength);
    body.u8(Number(call.runs));
  }
  writeTag(call.tag, body);
}

function writeNames({ found, names }: NamesRecord, body: ByteWriter): void {
  body.varint(found);
  for (const { event, skippedPages, pages, tags, oldMeaning, newMeaning } of names) {
    body.varint(event);
    body.varint(skippedPages);
    body.varint(pages ?? 0);
    body.varint(tags.length);
    for (const tag of tags) writeText(String(tag), typeof tag === 'number' ? TAG.number : TAG.text, body);
    for (const meaning of [oldMeaning, newMeaning])
      writeText(meaning ?? '', meaning === undefined ? TAG.none : TAG.text, body);
  }
}

function writeOwners({ runs }: OwnersRecord, body: ByteWriter): void {
  for (const { count, owner } of runs) {
    body.varint(count);
    body.varint(owner === undefined ? 0 : owner.pid + 1);
    if (owner === undefined) continue;
    writeText(owner.comm, TAG.text, body);
    writeText(owner.map ?? '', owner.map === undefined ? TAG.none : TAG.text, body);
  }
}

/** A text with its length, behind what it is. */
function writeText(text: string, kind: number, body: ByteWriter): void {
  const bytes = Buffer.from(text);
  body.u8(kind);
  body.varint(bytes.length);
  body.append(bytes);
}

function writeTag(tag: string | number | undefined, body: ByteWriter): void {
  if (tag === undefined) {
    body.u8(TAG.none);
  } else if (typeof tag === 'number') {
    body.u8(TAG.number);
    body.f64(tag);
  } else {
    body.u8(TAG.text);
    body.utf8(tag);
  }
}
