/** A trace taken apart into what its blocks hold, and put together again with lengths and checksums that are right. */
import {
  BLOCK_HEADER_BYTES,
  FILE_HEADER_BYTES,
  packBlock,
  parseBlockHeader,
  unpackBlock,
} from '../../../../src/drivers/trace/format/blocks.ts';

export interface TraceParts {
  readonly header: Buffer;
  readonly blocks: readonly { readonly type: number; readonly raw: Buffer }[];
}

export function takeApart(file: Buffer): TraceParts {
  const blocks: { type: number; raw: Buffer }[] = [];
  for (let at = FILE_HEADER_BYTES; at < file.length; ) {
    const header = parseBlockHeader(file.subarray(at, at + BLOCK_HEADER_BYTES));
    const end = at + BLOCK_HEADER_BYTES + header.storedLength;
    blocks.push({ type: header.type, raw: unpackBlock(header, file.subarray(at + BLOCK_HEADER_BYTES, end)) });
    at = end;
  }
  return { header: file.subarray(0, FILE_HEADER_BYTES), blocks };
}

export function putTogether({ header, blocks }: TraceParts): Buffer {
  return Buffer.concat([header, ...blocks.map(({ type, raw }) => packBlock(type, raw))]);
}
