/** The ways in which a page of a kdump is compressed: bits of its descriptor's flags (makedumpfile, diskdump_mod.h). */
import { inflateSync } from 'node:zlib';
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { decompressLzo1x } from './lzo1x.ts';
import { decompressSnappyPage } from './snappy-page.ts';
import { decompressZstdPage } from './zstd-page.ts';

/** Fills `page`, or answers the bytes. @throws Error for what is not such a page */
type Decompress = (input: Uint8Array, page: Uint8Array) => Uint8Array | void;

const METHODS: ReadonlyMap<number, Decompress> = new Map<number, Decompress>([
  [0x01, (input) => inflateSync(input, { maxOutputLength: PAGE_BYTES })],
  [0x02, decompressLzo1x],
  [0x04, decompressSnappyPage],
  [0x20, decompressZstdPage],
]);

/** Flags that say how a page is compressed. */
const COMPRESSED = 0x27;

/**
 * Makes a page of what is stored of it.
 *
 * @param page receives 4096 bytes
 * @throws Error that says what is wrong with the bytes
 */
export function decompressPage(flags: number, input: Uint8Array, page: Uint8Array): void {
  if ((flags & COMPRESSED) === 0) {
    if (input.length !== PAGE_BYTES) throw new Error(`a page that is not compressed has ${input.length} bytes`);
    page.set(input);
    return;
  }
  const decompress = METHODS.get(flags & COMPRESSED);
  if (decompress === undefined) throw new Error(`its flags 0x${flags.toString(16)} name no compression that is known`);
  const bytes = decompress(input, page);
  if (bytes === undefined) return;
  if (bytes.length !== PAGE_BYTES) throw new Error(`it is decompressed into ${bytes.length} bytes, not a page`);
  page.set(bytes);
}
