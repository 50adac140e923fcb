/**
 * The outer layer of a trace: a file header, then blocks that each carry their length and checksum.
 *
 *      file    89 50 54 4D 0D 0A 1A 0A   major: u16   minor: u16
 *      block   type: u8   packing: u8   0: u16   stored length: u32   raw length: u32   CRC-32: u32   stored bytes
 */
import { constants, crc32, deflateRawSync, inflateRawSync } from 'node:zlib';
import { errorText } from '../../../core/error.ts';
import { corrupt } from './corrupt.ts';

/** As PNG's: a transfer that changes line ends or drops bit 7 shows at once. */
const MAGIC = Buffer.from([0x89, 0x50, 0x54, 0x4d, 0x0d, 0x0a, 0x1a, 0x0a]);

/** Changes when a reader of the old could misunderstand the new. */
const MAJOR = 1;
/** Changes when something is added that an older reader may leave out. */
const MINOR = 1;

export const FILE_HEADER_BYTES = 12;
export const BLOCK_HEADER_BYTES = 16;
/** Of a block, packed or not: what a reader must be able to hold. */
export const MAX_BLOCK_BYTES = 2 ** 20;

export const BLOCK_ABOUT = 1;
export const BLOCK_RECORDS = 2;
/** Block types from here on may be skipped by who does not know them. */
export const FIRST_OPTIONAL_BLOCK = 128;

const PACKING_NONE = 0;
const PACKING_DEFLATE = 1;

export interface BlockHeader {
  readonly type: number;
  readonly packing: number;
  readonly storedLength: number;
  readonly rawLength: number;
  readonly checksum: number;
  /** What the checksum covers of the header. */
  readonly covered: Buffer;
}

export function fileHeader(): Buffer {
  const header = Buffer.alloc(FILE_HEADER_BYTES);
  MAGIC.copy(header);
  header.writeUInt16LE(MAJOR, 8);
  header.writeUInt16LE(MINOR, 10);
  return header;
}

/** Whether a file that begins like this is a trace, or one that was damaged on its way. */
export function isTrace(start: Uint8Array): boolean {
  return MAGIC.subarray(0, 4).equals(start.subarray(0, 4));
}

/**
 * @param header of what is shorter, all that there is
 * @throws PtmonError `corrupt-input` for what is no trace, or one of a later major version
 */
export function checkFileHeader(header: Buffer): void {
  if (!isTrace(header)) throw corrupt('this is not a trace: it does not begin with \\x89PTM');
  if (!MAGIC.subarray(0, header.length).equals(header.subarray(0, 8))) {
    throw corrupt('the trace was changed on its way: line ends were converted, as in a transfer of text');
  }
  if (header.length < FILE_HEADER_BYTES) throw corrupt('the trace ends within its header');
  const major = header.readUInt16LE(8);
  if (major !== MAJOR) {
    throw corrupt(`the trace has version ${major}.${header.readUInt16LE(10)}; this reader knows ${MAJOR}.${MINOR}`);
  }
}

/** @param raw at most `MAX_BLOCK_BYTES` */
export function packBlock(type: number, raw: Buffer): Buffer {
  const deflated = deflateRawSync(raw, { level: 6 });
  const packing = deflated.length < raw.length ? PACKING_DEFLATE : PACKING_NONE;
  const stored = packing === PACKING_DEFLATE ? deflated : raw;
  const block = Buffer.alloc(BLOCK_HEADER_BYTES + stored.length);
  block[0] = type;
  block[1] = packing;
  block.writeUInt32LE(stored.length, 4);
  block.writeUInt32LE(raw.length, 8);
  block.writeUInt32LE(crc32(stored, crc32(block.subarray(0, 12))), 12);
  stored.copy(block, BLOCK_HEADER_BYTES);
  return block;
}

/** @throws PtmonError `corrupt-input` for lengths that no block has */
export function parseBlockHeader(bytes: Buffer): BlockHeader {
  const header = {
    type: bytes[0]!,
    packing: bytes[1]!,
    storedLength: bytes.readUInt32LE(4),
    rawLength: bytes.readUInt32LE(8),
    checksum: bytes.readUInt32LE(12),
    covered: bytes.subarray(0, 12),
  };
  for (const length of [header.storedLength, header.rawLength]) {
    if (length > MAX_BLOCK_BYTES) throw corrupt(`a block has at most ${MAX_BLOCK_BYTES} bytes, not ${length}`);
  }
  return header;
}

/** What a block holds. @throws PtmonError `corrupt-input` */
export function unpackBlock(header: BlockHeader, stored: Buffer): Buffer {
  if (crc32(stored, crc32(header.covered)) !== header.checksum) throw corrupt("the block's checksum is wrong");
  if (header.packing === PACKING_NONE && header.storedLength === header.rawLength) return stored;
  if (header.packing !== PACKING_DEFLATE) throw corrupt(`a block of packing ${header.packing} cannot be unpacked`);
  let raw: Buffer;
  try {
    raw = inflateRawSync(stored, { maxOutputLength: Math.max(1, header.rawLength), finishFlush: constants.Z_FINISH });
  } catch (cause) {
    throw corrupt(`the block cannot be unpacked: ${errorText(cause)}`);
  }
  if (raw.length !== header.rawLength) {
    throw corrupt(`the block holds ${raw.length} bytes, not the ${header.rawLength} that it says`);
  }
  return raw;
}
