/** Writes a range of an address space to a file, at the same offsets. Pages that are absent stay holes of the file, and are listed. */
import { open } from 'node:fs/promises';
import { toU64 } from '../../core/address/va.ts';
import type { AbsentPiece, VirtualMemory } from './virtual-memory.ts';

export interface DumpRequest {
  readonly va: bigint;
  readonly byteLength: bigint;
  /** The file that is made. One that exists is never overwritten. */
  readonly path: string;
  readonly signal?: AbortSignal;
}

export interface DumpedRange {
  readonly presentBytes: number;
  /** What the file has holes for, ascending. */
  readonly absent: readonly AbsentPiece[];
}

/** @throws what the source throws; the system's error where the file cannot be made or written (`EEXIST`, `ENOSPC`) */
export async function dumpRange(memory: VirtualMemory, request: DumpRequest): Promise<DumpedRange> {
  const { path, signal } = request;
  const va = toU64(request.va, 'va of the range');
  const byteLength = toU64(request.byteLength, 'byteLength of the range');
  const absent: AbsentPiece[] = [];
  let presentBytes = 0;
  const file = await open(path, 'wx', 0o600);
  try {
    for await (const piece of memory.pieces(va, byteLength)) {
      signal?.throwIfAborted();
      if ('absent' in piece) {
        absent.push(piece);
        continue;
      }
      await file.write(piece.bytes, 0, piece.bytes.length, Number(piece.va - va));
      presentBytes += piece.bytes.length;
    }
    await file.truncate(Number(byteLength));
  } finally {
    await file.close();
  }
  return { presentBytes, absent };
}
