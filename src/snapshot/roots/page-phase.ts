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
  let best = highest();
  // Of a word that begins a page the first bytes may be zero: it is found a little later then.
  for (let before = 1; before < WORD_BYTES; before++) {
    const earlier = (best + PAGE_BYTES - before) % PAGE_BYTES;
    if (counts[earlier]! * CLEARLY > counts[best]!) best = earlier;
  }
  const most = counts[best]!;
  for (let after = 0; after < WORD_BYTES; after++) counts[(best + after) % PAGE_BYTES] = 0;
  return most >= LEAST_COUNT && most >= counts[highest()]! * CLEARLY ? best : undefined;
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
