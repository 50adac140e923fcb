/** Finds bytes in an address space. */
import { setImmediate } from 'node:timers/promises';
import { isUint8Array } from 'node:util/types';
import { PtmonError } from '../../core/error.ts';
import { type AbsentPiece, checkedRange, type VirtualMemory } from './virtual-memory.ts';

export interface SearchOptions {
  readonly va: bigint;
  readonly byteLength: bigint;
  readonly signal?: AbortSignal;
  /** Called for what could not be searched. */
  readonly onAbsent?: (piece: AbsentPiece) => void;
}

/**
 * The addresses of a pattern, ascending; matches may overlap each other and the borders of pages.
 *
 * @throws PtmonError `bad-argument` for an empty pattern; what the source throws; the reason of the signal when it is aborted
 */
export async function* search(
  memory: VirtualMemory,
  pattern: Uint8Array | string,
  options: SearchOptions,
): AsyncGenerator<bigint, void, undefined> {
  const { va, byteLength } = checkedRange(options);
  const { signal, onAbsent } = options;
  if (typeof pattern !== 'string' && !isUint8Array(pattern))
    throw new PtmonError('bad-argument', `the pattern ${String(pattern)} is neither a string nor a Uint8Array`);
  const wanted = Buffer.from(pattern);
  if (wanted.length === 0) throw new PtmonError('bad-argument', 'the pattern is empty: give at least one byte');
  // The end of what came just before, in which a match may begin.
  let tail = Buffer.alloc(0);
  for await (const piece of memory.pieces(va, byteLength)) {
    await setImmediate();
    signal?.throwIfAborted();
    if ('absent' in piece) {
      onAbsent?.(piece);
      tail = Buffer.alloc(0);
      continue;
    }
    const bytes = Buffer.concat([tail, piece.bytes]);
    const start = piece.va - BigInt(tail.length);
    for (let at = bytes.indexOf(wanted); at >= 0; at = bytes.indexOf(wanted, at + 1)) yield start + BigInt(at);
    tail = bytes.subarray(Math.max(0, bytes.length - wanted.length + 1));
  }
}
