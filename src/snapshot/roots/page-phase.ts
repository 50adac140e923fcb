/** Where in a file the pages of memory begin, when something of any length is in front of them: what a page holds begins where it does. */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import { readableBytes } from './file-pages.ts';

const CHUNK_BYTES = 2 ** 16;
/** 16 MiB of the file, in pieces all over it. */
const MAX_CHUNKS = 2 ** 8;
/** Bytes of zeroes before something: structures in a page have fewer. */
const LEAST_ZEROES = 64;
/** How often it must be found, and how many times as often as anything else: real memory shows some 5 times. */
const LEAST_COUNT = 8;
const CLEARLY = 2;
const WORD_BYTES = 8;

/** The position of a page, modulo the size of pages; undefined where that does not stand out. */
export function pagePhase(snapshot: Snapshot): number | undefined {
  const byteLength = readableBytes(snapshot);
  const counts = new Uint32Array(PAGE_BYTES);
  const chunks = Math.min(MAX_CHUNKS, Math.ceil(byteLength / CHUNK_BYTES));
  for (let chunk = 0; chunk < chunks; chunk++) {
    const at = Math.floor((chunk * byteLength) / chunks);
    const bytes = snapshot.readBytes?.(at, Math.min(CHUNK_BYTES, byteLength - at));
    if (bytes !== undefined) countBeginnings(bytes, at, counts);
  }
  const highest = () => counts.reduce((best, count, phase) => (count > counts[best]! ? phase : best), 0);
  const best = highest();
  // Of a word that begins a page the first bytes may be zero: then something is found a little later. What is near is no rival.
  const earlier = Array.from({ length: WORD_BYTES }, (_, before) => (best + PAGE_BYTES - before) % PAGE_BYTES);
  const found = earlier.map((phase) => counts[phase]!);
  for (let at = best + PAGE_BYTES - WORD_BYTES + 1; at < best + PAGE_BYTES + WORD_BYTES; at++)
    counts[at % PAGE_BYTES] = 0;
  const elsewhere = counts[highest()]!;
  return earlier[found.findLastIndex((count) => count >= LEAST_COUNT && count >= elsewhere * CLEARLY)];
}

/** Counts, by their place in a page, bytes that are not zero and come after many that are. */
function countBeginnings(bytes: Uint8Array, at: number, counts: Uint32Array): void {
  let zeroes = 0;
  for (let index = 0; index < bytes.length; index++) {
    if (bytes[index] === 0) {
      zeroes++;
      continue;
    }
    if (zeroes >= LEAST_ZEROES) counts[(at + index) % PAGE_BYTES]!++;
    zeroes = 0;
  }
}
