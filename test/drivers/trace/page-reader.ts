/**
 * A reader of traces written from docs/formats/trace.md alone: it shares nothing with the one in src. It checks little, and answers what
 * a trace says as plain objects.
 */
import { readFileSync } from 'node:fs';
import { inflateRawSync } from 'node:zlib';

export interface PageRecord {
  readonly name: string;
  readonly [field: string]: unknown;
}

class Bytes {
  at = 0;
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  get more(): boolean {
    return this.at < this.bytes.length;
  }

  u8(): number {
    return this.bytes.readUInt8(this.at++);
  }

  u64(): bigint {
    this.at += 8;
    return this.bytes.readBigUInt64LE(this.at - 8);
  }

  f64(): number {
    this.at += 8;
    return this.bytes.readDoubleLE(this.at - 8);
  }

  varint(): number {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.u8();
      value |= BigInt(byte & 127) << shift;
      if (byte < 128) return Number(value);
    }
  }

  text(): string {
    const from = this.at;
    this.at = this.bytes.length;
    return this.bytes.toString('utf8', from);
  }

  take(length: number): Bytes {
    this.at += length;
    return new Bytes(this.bytes.subarray(this.at - length, this.at));
  }
}

/** CRC-32 with the reversed polynomial 0xEDB88320, bit by bit. */
function crc32(bytes: Buffer): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}

export function readByThePage(path: string): { about: Record<string, unknown>; records: PageRecord[] } {
  const file = readFileSync(path);
  if (file.toString('latin1', 0, 8) !== '\x89PTM\r\n\x1a\n') throw new Error('no trace');
  if (file.readUInt16LE(8) !== 1) throw new Error('another version');
  let about: Record<string, unknown> | undefined;
  const records: PageRecord[] = [];
  for (let at = 12; at < file.length; ) {
    const [storedLength, rawLength] = [file.readUInt32LE(at + 4), file.readUInt32LE(at + 8)];
    const stored = file.subarray(at + 16, at + 16 + storedLength);
    if (crc32(Buffer.concat([file.subarray(at, at + 12), stored])) !== file.readUInt32LE(at + 12)) {
      throw new Error(`checksum at ${at}`);
    }
    const raw = file[at + 1] === 1 ? inflateRawSync(stored) : stored;
    if (raw.length !== rawLength) throw new Error(`length at ${at}`);
    if (file[at] === 1) about = JSON.parse(raw.toString());
    const from = new Bytes(raw);
    while (file[at] === 2 && from.more) {
      const type = from.u8();
      records.push(readRecord(type, from.take(from.varint())));
    }
    at += 16 + storedLength;
  }
  if (about === undefined) throw new Error('nothing says what this is');
  return { about, records };
}

function readRecord(type: number, body: Bytes): PageRecord {
  switch (type) {
    case 1: {
      const frame = body.varint();
      const slots: Record<number, bigint> = {};
      for (let slot = 0; body.more; ) {
        slot += body.varint();
        for (let count = body.varint(); count > 0; count--) slots[slot++] = body.u64();
      }
      return { name: 'table', frame, slots };
    }
    case 2:
      return { name: 'no-memory', frame: body.varint() };
    case 3: {
      const frames: number[] = [];
      while (body.more) frames.push(body.varint());
      return { name: 'left', frames };
    }
    case 4: {
      const capture = body.u8();
      const changes: [pa: number, value: bigint][] = [];
      while (body.more) {
        const frame = body.varint();
        for (let count = body.varint(); count > 0; count--) {
          changes.push([frame * 4096 + body.varint() * 8, body.u64()]);
        }
      }
      return { name: 'changes', capture, changes };
    }
    case 5:
      return {
        name: 'registers',
        vcpu: body.varint(),
        cr0: body.u64(),
        cr3: body.u64(),
        cr4: body.u64(),
        efer: body.u64(),
      };
    case 6:
      return { name: 'write', vcpu: body.varint(), view: body.varint(), pa: body.varint(), byteLength: body.varint() };
    case 7:
      return { name: 'commit', vcpu: body.varint() };
    case 8: {
      const lost = body.varint();
      return { name: 'missed', lost: lost === 0 ? null : lost - 1, reason: body.text() };
    }
    case 9:
      return { name: 'root-gone', root: body.varint() };
    case 10:
      return readCall(body);
    case 11:
      return { name: 'instant', sinceUs: body.varint() };
    case 12:
      return { name: 'end', how: ['finished', 'stopped', 'failed'][body.u8()], text: body.text() };
    case 129: {
      const found = body.varint();
      const names: unknown[] = [];
      const text = () => {
        const kind = body.u8();
        const words = body.take(body.varint()).text();
        return kind === 0 ? undefined : kind === 1 ? words : Number(words);
      };
      while (body.more) {
        const [event, skippedPages, pages] = [body.varint(), body.varint(), body.varint() || undefined];
        const tags = Array.from({ length: body.varint() }, text);
        names.push({ event, skippedPages, pages, tags, oldMeaning: text(), newMeaning: text() });
      }
      return { name: 'names', found, names };
    }
    case 130: {
      const runs: unknown[] = [];
      const text = () => {
        const kind = body.u8();
        const words = body.take(body.varint()).text();
        return kind === 0 ? undefined : words;
      };
      while (body.more) {
        const [count, pid] = [body.varint(), body.varint() - 1];
        if (pid < 0) runs.push({ count, owner: undefined });
        else {
          const [comm, map] = [text(), text()];
          runs.push({ count, owner: { pid, comm, ...(map !== undefined && { map }) } });
        }
      }
      return { name: 'owners', runs };
    }
    case 128:
      return { name: 'note', text: body.text() };
    default:
      if (type < 128) throw new Error(`record of type ${type}`);
      return { name: 'unknown' };
  }
}

const CALLS =
  'monitor monitorRange unmonitor unmonitorRange unmonitorByForce unmonitorView unmonitorAll rootGone resync';

function readCall(body: Bytes): PageRecord {
  const name = CALLS.split(' ')[body.u8()]!;
  if (name === 'unmonitorAll') return { name };
  const view = body.varint() - 1;
  if (name === 'unmonitorView' || name === 'resync') return { name, view };
  const root = body.u64();
  if (name === 'rootGone') return { name, view, root };
  const va = body.u64();
  const range = name.endsWith('Range') ? { byteLength: body.u64(), runs: body.u8() === 1 } : {};
  const tagKind = body.u8();
  const tag = tagKind === 0 ? undefined : tagKind === 1 ? body.text() : body.f64();
  return { name, view, root, va, ...range, tag };
}
