/** Writes a range of an address space to a file, at the same offsets. Pages that are absent stay holes of the file, and are listed. */
import { type FileHandle, open, rm } from 'node:fs/promises';
import { PtmonError } from '../../core/error.ts';
import { type AbsentPiece, checkedRange, type VirtualMemory } from './virtual-memory.ts';

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

/**
 * A file that could not be completed is removed.
 *
 * @throws what the source throws; PtmonError `bad-argument` for a range or a path that is none; the system's error where the file cannot be
 *   made or written (`EEXIST`, `ENOSPC`)
 */
export async function dumpRange(memory: VirtualMemory, request: DumpRequest): Promise<DumpedRange> {
  const { va, byteLength } = checkedRange(request);
  const { path, signal } = request;
  if (typeof path !== 'string' || path === '')
    throw new PtmonError('bad-argument', `the file to write is no path: ${String(path)}`);
  if (byteLength > Number.MAX_SAFE_INTEGER)
    throw new PtmonError('bad-argument', `${byteLength} bytes are more than a file can have: dump a part of them`);
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
      await writeAll(file, piece.bytes, Number(piece.va - va));
      presentBytes += piece.bytes.length;
    }
    await file.truncate(Number(byteLength));
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  } finally {
    await file.close();
  }
  return { presentBytes, absent };
}

/** A file system that is almost full takes a part of the bytes without an error. */
async function writeAll(file: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length; ) {
    const { bytesWritten } = await file.write(bytes, done, bytes.length - done, position + done);
    done += bytesWritten;
  }
}
