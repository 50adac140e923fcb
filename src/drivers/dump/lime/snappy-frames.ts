/**
 * Streams of snappy in frames (google/snappy, framing_format.txt), as AVML has one for each range: chunks of at most 64 KiB, of which each
 * stands for itself. The chunks of all ranges are one after the other, so that a position is a number of bytes before compression.
 *
 *   0  type: 0x00 compressed, 0x01 not; 0xff begins a stream; 0x80 to 0xfe are passed over
 *   1  length of the rest, 24 bits
 *   4  of a chunk with data: the masked CRC-32C of what it stands for, then the data
 */
import type { PositionedSource } from '../../ramfile/index.ts';
import { corrupt, type DumpBytes, hasBytes, readPart } from '../dump-bytes.ts';
import { decompressSnappy } from '../kdump/snappy-page.ts';
import { partitionPoint } from '../../../core/struct/partition-point.ts';

const COMPRESSED = 0x00;
const PLAIN = 0x01;
const FIRST_SKIPPED = 0x80;
const HEADER_BYTES = 4;
const CRC_BYTES = 4;
/** What one chunk may stand for. */
export const MAX_CHUNK_BYTES = 2 ** 16;
/** Chunks that are kept: 1 MiB. */
const MAX_KEPT = 16;

export interface Chunk {
  /** Of its header. */
  readonly at: number;
  readonly type: number;
  /** What follows the header. */
  readonly length: number;
  /** What it stands for; 0 for a chunk without data. */
  readonly byteLength: number;
}

/** The chunk at a position of the file. @throws PtmonError `corrupt-input` for what is none, or is cut off */
export function chunkAt(bytes: DumpBytes, at: number): Chunk {
  const header = readPart(bytes, at, HEADER_BYTES, 'the header of a snappy frame');
  const [type, length] = [header[0]!, header.readUIntLE(1, 3)];
  if (!hasBytes(bytes, at, HEADER_BYTES + length)) throw corrupt(bytes.name, at, 'a snappy frame is cut off');
  if (type >= FIRST_SKIPPED) return { at, type, length, byteLength: 0 };
  if ((type !== COMPRESSED && type !== PLAIN) || length <= CRC_BYTES) {
    throw corrupt(bytes.name, at, `0x${type.toString(16)} with ${length} bytes is not a snappy frame`);
  }
  const byteLength = type === PLAIN ? length - CRC_BYTES : uncompressedLength(bytes, at, length);
  if (byteLength > MAX_CHUNK_BYTES) throw corrupt(bytes.name, at, `a snappy frame of ${byteLength} bytes is too long`);
  return { at, type, length, byteLength };
}

/** The length in front of a snappy stream, seven bits a byte. */
function uncompressedLength(bytes: DumpBytes, at: number, length: number): number {
  const start = at + HEADER_BYTES + CRC_BYTES;
  const prefix = readPart(bytes, start, Math.min(5, length - CRC_BYTES), 'the length of a snappy stream');
  let value = 0;
  for (const [index, byte] of prefix.entries()) {
    value += (byte & 0x7f) * 2 ** (7 * index);
    if (byte < 0x80) break;
  }
  return value;
}

export class SnappyFrames implements PositionedSource {
  readonly name: string;
  readonly #bytes: DumpBytes;
  /** Position in the file of each chunk, and of its first byte before compression. */
  readonly #places: readonly number[];
  readonly #starts: readonly number[];
  readonly #kept = new Map<number, Uint8Array>();

  constructor(bytes: DumpBytes, places: readonly number[], starts: readonly number[]) {
    this.name = bytes.name;
    this.#bytes = bytes;
    this.#places = places;
    this.#starts = starts;
  }

  read(into: Uint8Array, position: number): void {
    for (let done = 0; done < into.length; ) {
      const index = this.#find(position + done);
      const chunk = this.#chunk(index);
      const offset = position + done - this.#starts[index]!;
      const part = chunk.subarray(offset, offset + into.length - done);
      if (part.length === 0) throw corrupt(this.name, this.#places[index]!, 'a snappy frame is shorter than it says');
      into.set(part, done);
      done += part.length;
    }
  }

  check(): void {
    this.#bytes.check();
  }

  close(): void {
    this.#bytes.close();
    this.#kept.clear();
  }

  /** The last chunk that begins at or before a position. */
  #find(position: number): number {
    return partitionPoint(this.#starts.length, (index) => this.#starts[index]! <= position) - 1;
  }

  #chunk(index: number): Uint8Array {
    const known = this.#kept.get(index);
    if (known !== undefined) return known;
    const data = this.#decompress(this.#places[index]!);
    if (this.#kept.size >= MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value!);
    this.#kept.set(index, data);
    return data;
  }

  #decompress(at: number): Uint8Array {
    const { type, length, byteLength } = chunkAt(this.#bytes, at);
    const stored = readPart(this.#bytes, at + HEADER_BYTES, length, 'a snappy frame');
    const rest = new Uint8Array(stored.subarray(CRC_BYTES));
    let data: Uint8Array;
    try {
      data = type === PLAIN ? rest : decompressSnappy(rest, byteLength);
    } catch (error) {
      throw corrupt(this.name, at, `a frame cannot be decompressed: ${(error as Error).message}`, error);
    }
    if (maskedCrc(data) !== stored.readUInt32LE(0)) throw corrupt(this.name, at, 'the checksum of a frame is wrong');
    return data;
  }
}

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0x82f63b78 : value >>> 1;
  return value;
});

/** CRC-32C, turned and with a constant added, so that it is none of itself. */
export function maskedCrc(data: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of data) crc = CRC_TABLE[(crc ^ byte) & 0xff]! ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + 0xa282ead8) >>> 0;
}
