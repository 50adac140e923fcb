/**
 * The names of kallsyms: for each symbol a length and as many tokens, the first letter of which is its type. The markers behind them
 * say where each 256th begins, and by them the names are found: nothing else tells where they are.
 *
 *      num_syms   names   markers   [seqs_of_names, in 6.2 and 6.3]   token_table   token_index
 */
import type { Steps } from '../memory/steps.ts';
import type { TokenTable } from './token-table.ts';

const GROUP = 256;
/** A name has a token at least, and KSYM_NAME_LEN (512) at most. */
const MIN_GROUP_BYTES = GROUP * 2;
const MAX_GROUP_BYTES = GROUP * 514;
/** Of a kernel's symbols: there are some 200,000. */
const MAX_SYMBOLS = 1 << 22;
/** Behind the markers and before the tokens are at most 3 bytes for each symbol. */
const MAX_DISTANCE = 3 * MAX_SYMBOLS;
/** Markers that must be in order before they are believed. */
const LEAST_MARKERS = 4;
const STEP = 4096;

export interface NameTable {
  /** Where the number of symbols is. */
  readonly countAt: number;
  /** Where each name begins. */
  readonly places: Uint32Array;
  /** All tables are aligned to so many bytes. */
  readonly alignment: number;
}

/** The names that belong to these tokens. @param wordBytes of the kernel: its tables are aligned to that, from 7.0 on to 4 bytes */
export function* findNames(bytes: Buffer, tokens: TokenTable, wordBytes: number): Steps<NameTable | undefined> {
  const least = Math.max(0, tokens.at - MAX_DISTANCE);
  for (let at = (tokens.at - 4) & ~3; at >= least; at -= 4) {
    if ((at / 4) % STEP === 0) yield;
    if (bytes.readUInt32LE(at) !== 0) continue;
    const count = markersAt(bytes, at, tokens.at);
    if (count < LEAST_MARKERS) continue;
    for (const alignment of new Set([wordBytes, 4])) {
      const names = yield* namesBefore(bytes, { at, count }, alignment);
      if (names !== undefined) return names;
    }
  }
  return undefined;
}

/** How many numbers from `at` on are in the order that markers are. */
function markersAt(bytes: Buffer, at: number, end: number): number {
  let count = 1;
  for (let last = 0; at + (count + 1) * 4 <= end; count++) {
    const next = bytes.readUInt32LE(at + count * 4);
    if (next < last + MIN_GROUP_BYTES || next > last + MAX_GROUP_BYTES) break;
    last = next;
  }
  return count;
}

interface Markers {
  readonly at: number;
  readonly count: number;
}

/** Names that end where the markers begin. What follows the markers may look like one more. */
function* namesBefore(bytes: Buffer, { at, count }: Markers, alignment: number): Steps<NameTable | undefined> {
  for (let groups = count; groups >= Math.max(1, count - 2); groups--) {
    const latest = at - bytes.readUInt32LE(at + (groups - 1) * 4);
    const earliest = Math.max(alignment, latest - MAX_GROUP_BYTES);
    for (let start = latest & ~(alignment - 1); start >= earliest; start -= alignment) {
      if (start % STEP === 0) yield;
      const symbols = bytes.readUInt32LE(start - alignment);
      if (symbols > MAX_SYMBOLS || Math.ceil(symbols / GROUP) !== groups) continue;
      const places = yield* walkNames(bytes, start, symbols, at);
      if (places !== undefined) return { countAt: start - alignment, places, alignment };
    }
  }
  return undefined;
}

function* walkNames(bytes: Buffer, start: number, symbols: number, markers: number): Steps<Uint32Array | undefined> {
  const places = new Uint32Array(symbols);
  let at = start;
  for (let symbol = 0; symbol < symbols; symbol++) {
    if (symbol % STEP === 0) yield;
    if (symbol % GROUP === 0 && at - start !== bytes.readUInt32LE(markers + (symbol / GROUP) * 4)) return undefined;
    if (at >= markers) return undefined;
    places[symbol] = at;
    at = nameAt(bytes, at).end;
  }
  return at <= markers && markers - at < 8 ? places : undefined;
}

/** Where the tokens of the name at `at` are. Since 6.1 (73bbb94466fd), a length of 128 or more has two bytes. */
export function nameAt(bytes: Buffer, at: number): { readonly from: number; readonly end: number } {
  const first = bytes[at] ?? 0;
  const isLong = (first & 0x80) !== 0;
  const length = isLong ? (first & 0x7f) | ((bytes[at + 1] ?? 0) << 7) : first;
  const from = at + (isLong ? 2 : 1);
  return { from, end: from + length };
}
