/**
 * A page compressed by snappy (google/snappy, format_description.txt). The library passes over a stream that ends too early, and leaves
 * zeroes where its bytes should be: how many bytes the stream makes is counted first.
 */
import { uncompress } from 'snappyjs';
import { PAGE_BYTES } from '../../../core/address/pa.ts';

/** @throws Error */
export function decompressSnappyPage(input: Uint8Array): Uint8Array {
  return decompressSnappy(input, PAGE_BYTES);
}

/** @param wanted bytes that the stream must make @throws Error */
export function decompressSnappy(input: Uint8Array, wanted: number): Uint8Array {
  const byteLength = countBytes(input);
  if (byteLength !== wanted) throw new Error(`the snappy stream makes ${byteLength} bytes, not ${wanted}`);
  // Of a Buffer the library makes a Buffer by way of an array of numbers.
  return uncompress(new Uint8Array(input), wanted);
}

/** Goes from tag to tag: the low two bits of one say what it is, a literal or one of three kinds of copies. */
function countBytes(input: Uint8Array): number {
  let at = 0;
  // The length of the whole comes first, seven bits a byte.
  while (input[at]! >= 0x80) at++;
  at++;
  let made = 0;
  while (at < input.length) {
    const tag = input[at++]!;
    const kind = tag & 3;
    if (kind === 0) {
      const length = literalLength(tag >>> 2, input, at);
      at += Math.max(0, (tag >>> 2) - 59) + length;
      made += length;
    } else {
      const copied = kind === 1 ? 4 + ((tag >>> 2) & 7) : 1 + (tag >>> 2);
      const distance =
        kind === 1 ? ((tag >>> 5) << 8) + (input[at] ?? 0) : (input[at] ?? 0) + (input[at + 1] ?? 0) * 256;
      if (distance === 0 || distance > made) throw new Error('the snappy stream copies from before its start');
      at += [0, 1, 2, 4][kind]!;
      made += copied;
    }
  }
  if (at > input.length) throw new Error('the snappy stream is cut off');
  return made;
}

/** Up to 60 in the tag; longer ones are in the 1 to 4 bytes behind it, of which a page needs two, and 64 KiB as many. */
function literalLength(inTag: number, input: Uint8Array, at: number): number {
  if (inTag < 60) return inTag + 1;
  let length = 0;
  for (let byte = inTag - 60; byte >= 0; byte--) length = length * 256 + (input[at + byte] ?? 0);
  return length + 1;
}
