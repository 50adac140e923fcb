/**
 * A page compressed by zstd (RFC 8878). The library trusts its input: it would loop for minutes over a few bytes that promise
 * gigabytes, and pass over what ends too early. A page is one frame that says that it is a page, of one block with no more sequences
 * than a page has room for; that is looked at first.
 */
import { decompress } from 'fzstd';
import { PAGE_BYTES } from '../../../core/address/pa.ts';

const MAGIC = 0xfd2fb528;
/** The shortest match (RFC 8878, 3.1.1.3.2.1.1). */
const LEAST_MATCH = 3;

const COMPRESSED_BLOCK = 2;

/** @throws Error */
export function decompressZstdPage(input: Uint8Array, page: Uint8Array): void {
  checkFrame(Buffer.from(input.buffer, input.byteOffset, input.byteLength));
  decompress(input, page);
}

function checkFrame(frame: Buffer): void {
  const isIn = (end: number) => {
    if (end > frame.length) throw new Error('the zstd frame is cut off');
  };
  isIn(6);
  if (frame.readUInt32LE(0) !== MAGIC) throw new Error('it is not a zstd frame');
  const descriptor = frame[4]!;
  const isSingleSegment = (descriptor >>> 5) & 1;
  const sizeKind = descriptor >>> 6;
  const sizeBytes = sizeKind === 0 ? isSingleSegment : 2 ** sizeKind;
  const sizeAt = 5 + (1 - isSingleSegment) + [0, 1, 2, 4][descriptor & 3]!;
  isIn(sizeAt + sizeBytes + 3);
  const size =
    sizeBytes === 0
      ? -1
      : sizeBytes === 2
        ? frame.readUInt16LE(sizeAt) + 256
        : frame.readUIntLE(sizeAt, Math.min(sizeBytes, 6));
  if (size !== PAGE_BYTES)
    throw new Error(`the zstd frame is of ${size < 0 ? 'unknown size' : `${size} bytes`}, not a page`);

  const block = sizeAt + sizeBytes;
  const header = frame.readUIntLE(block, 3);
  if ((header & 1) === 0) throw new Error('the zstd frame has more than one block');
  const [kind, length] = [(header >>> 1) & 3, header >>> 3];
  if (kind !== COMPRESSED_BLOCK) {
    if (length !== PAGE_BYTES) throw new Error(`the zstd block makes ${length} bytes, not a page`);
    return;
  }
  isIn(block + 3 + length);
  checkSequences(frame.subarray(block + 3, block + 3 + length));
}

/** Literals come first in a block, then the number of sequences (RFC 8878, 3.1.1.3.1 and 3.1.1.3.2). */
function checkSequences(block: Buffer): void {
  const [kind, format] = [block[0]! & 3, (block[0]! >>> 2) & 3];
  const isCompressed = kind >= 2;
  const headerBytes = isCompressed ? [3, 3, 4, 5][format]! : [1, 2, 1, 3][format]!;
  if (headerBytes > block.length) throw new Error('the zstd block is cut off');
  // The sizes follow each other in the bits behind kind and format; the first is that of the literals themselves.
  const bits = block.readUIntLE(0, headerBytes);
  const sizeBits = isCompressed ? [10, 10, 14, 18][format]! : 0;
  const literals = isCompressed ? Math.floor(bits / 16) % 2 ** sizeBits : bits >>> (headerBytes === 1 ? 3 : 4);
  const stored = isCompressed ? Math.floor(bits / 2 ** (4 + sizeBits)) : kind === 1 ? 1 : literals;
  if (literals > PAGE_BYTES) throw new Error(`the zstd block has ${literals} bytes of literals`);
  const at = headerBytes + stored;
  const [first, second, third] = [block[at], block[at + 1] ?? 0, block[at + 2] ?? 0];
  if (first === undefined) throw new Error('the zstd block is cut off');
  const count = first < 128 ? first : first < 255 ? ((first - 128) << 8) + second : second + (third << 8) + 0x7f00;
  if (count * LEAST_MATCH > PAGE_BYTES) throw new Error(`the zstd block has ${count} sequences`);
}
