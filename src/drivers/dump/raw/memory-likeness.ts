/**
 * Whether bytes can be the memory of a machine, by a sample of their pages. Memory has pages of zeroes, tables, texts and code; a file of
 * one text has nothing but text, and one that is compressed or encrypted has no page that repeats anything.
 */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import type { DumpBytes } from '../dump-bytes.ts';

const ZEROES = Buffer.alloc(PAGE_BYTES);
const SAMPLES = 64;
/** Of so few pages nothing is concluded but that they are text. */
const LEAST_PAGES = 16;
/** Random bytes have some 7.95 bits in each of a page; code and data of programs have 4 to 7. */
const RANDOM_BITS = 7.8;

/** Why the bytes are no memory; undefined where they may be. */
export function whyNoMemory(bytes: DumpBytes): string | undefined {
  const pages = Math.floor(bytes.byteLength / PAGE_BYTES);
  const count = Math.min(pages, SAMPLES);
  const page = Buffer.alloc(PAGE_BYTES);
  const kinds = { zero: 0, text: 0, random: 0, other: 0 };
  for (let sample = 0; sample < count; sample++) {
    bytes.read(page, Math.floor((sample * pages) / count) * PAGE_BYTES);
    kinds[kindOf(page)]++;
  }
  const full = count - kinds.zero;
  if (full > 0 && kinds.text === full && kinds.zero === 0) return `it is text, page by page (${full} were looked at)`;
  if (full >= LEAST_PAGES && kinds.random === full) {
    return (
      `it looks compressed or encrypted: of ${full} of its pages none repeats anything. The memory of a guest with SEV or TDX ` +
      'cannot be read from outside'
    );
  }
  return undefined;
}

function kindOf(page: Buffer): 'zero' | 'text' | 'random' | 'other' {
  if (page.equals(ZEROES)) return 'zero';
  const counts = new Uint32Array(256);
  for (const byte of page) counts[byte]!++;
  let [bits, printable] = [0, 0];
  for (const [byte, count] of counts.entries()) {
    if (count === 0) continue;
    bits += (count / PAGE_BYTES) * Math.log2(PAGE_BYTES / count);
    if ((byte >= 0x20 && byte < 0x7f) || (byte >= 9 && byte <= 13)) printable += count;
  }
  if (printable === PAGE_BYTES) return 'text';
  return bits > RANDOM_BITS ? 'random' : 'other';
}
