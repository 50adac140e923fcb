/** What goes over the plugin's socket, in the byte order of the host, which is QEMU's too: the other side is `native/ptmon-plugin.c`. */
import { PAGE_BYTES } from '../../../core/address/pa.ts';

export const PROTOCOL_VERSION = 2;

export const HELLO = 1;
export const BUSY = 2;
export const READY = 3;
export const WRITE = 4;
export const SNAPSHOT = 5;
export const TOO_MANY = 6;
export const UNREADABLE = 7;
export const END = 8;

const CONFIGURE = 1;
const CAPTURE = 2;
const RELEASE = 3;
const ALIVE = 4;

/** Of a configuration. */
export const MAX_REGIONS = 32;
const RECORD_BYTES = 32;
const REQUEST_BYTES = 24;
const REGION_BYTES = 32;

/** A message of the plugin's. Its fields mean what `struct record` says. */
export interface PluginRecord {
  readonly kind: number;
  readonly level: number;
  readonly vcpu: number;
  readonly sequence: number;
  readonly seen: number;
  readonly capture: number;
  readonly pa: number;
  /** Low and high word of the value. */
  readonly lo: number;
  readonly hi: number;
  /** Content of the table (`SNAPSHOT`). */
  readonly words?: Uint32Array;
}

/** Where the guest's RAM is. */
export interface PluginRegion {
  /** The plugin API's address for it. */
  readonly key: number;
  readonly pa: number;
  readonly byteLength: number;
  /** In QEMU's own memory. */
  readonly host: number;
}

/** Makes records of bytes, cut anywhere. */
export class RecordDecoder {
  #rest: Buffer = Buffer.alloc(0);

  *push(chunk: Uint8Array): Generator<PluginRecord> {
    const bytes = this.#rest.length === 0 ? Buffer.from(chunk) : Buffer.concat([this.#rest, chunk]);
    let at = 0;
    for (;;) {
      const end = at + RECORD_BYTES + (bytes[at] === SNAPSHOT ? PAGE_BYTES : 0);
      if (end > bytes.length || at + RECORD_BYTES > bytes.length) break;
      yield recordAt(bytes, at);
      at = end;
    }
    this.#rest = bytes.subarray(at);
  }
}

function recordAt(bytes: Buffer, at: number): PluginRecord {
  const kind = bytes[at]!;
  const record = {
    kind,
    level: bytes[at + 1]!,
    vcpu: bytes.readUInt16LE(at + 2),
    sequence: bytes.readUInt32LE(at + 4),
    seen: bytes.readUInt32LE(at + 8),
    capture: bytes.readUInt32LE(at + 12),
    pa: bytes.readUInt32LE(at + 16) + bytes.readUInt32LE(at + 20) * 2 ** 32,
    lo: bytes.readUInt32LE(at + 24),
    hi: bytes.readUInt32LE(at + 28),
  };
  if (kind !== SNAPSHOT) return record;
  const words = new Uint32Array(PAGE_BYTES / 4);
  const from = at + RECORD_BYTES;
  new Uint8Array(words.buffer).set(bytes.subarray(from, from + PAGE_BYTES));
  return { ...record, words };
}

export interface Configuration {
  /** Code from this address on is instrumented; where it is not 0, it is Linux' kernel. */
  readonly codeFrom: bigint;
  readonly entryBytes: 4 | 8;
  readonly regions: readonly PluginRegion[];
}

export function configureRequest({ codeFrom, entryBytes, regions }: Configuration): Uint8Array {
  const bytes = Buffer.alloc(REQUEST_BYTES + regions.length * REGION_BYTES);
  writeRequest(bytes, { kind: CONFIGURE, count: regions.length, a: codeFrom, b: entryBytes });
  for (const [index, { key, pa, byteLength, host }] of regions.entries()) {
    const at = REQUEST_BYTES + index * REGION_BYTES;
    for (const [field, value] of [key, pa, byteLength, host].entries())
      bytes.writeBigUInt64LE(BigInt(value), at + 8 * field);
  }
  return bytes;
}

export function captureRequest(pa: number, level: number): Uint8Array {
  return request(CAPTURE, pa, level);
}

export function releaseRequest(pa: number, capture: number): Uint8Array {
  return request(RELEASE, pa, capture);
}

export function aliveRequest(): Uint8Array {
  return request(ALIVE, 0, 0);
}

function request(kind: number, a: number, b: number): Uint8Array {
  const bytes = Buffer.alloc(REQUEST_BYTES);
  writeRequest(bytes, { kind, count: 0, a: BigInt(a), b });
  return bytes;
}

function writeRequest(
  bytes: Buffer,
  { kind, count, a, b }: { readonly kind: number; readonly count: number; readonly a: bigint; readonly b: number },
): void {
  bytes.writeUInt32LE(kind, 0);
  bytes.writeUInt32LE(count, 4);
  bytes.writeBigUInt64LE(a, 8);
  bytes.writeBigUInt64LE(BigInt(b), 16);
}
