/** All memory of a snapshot, a chunk at a time. */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { READ_OK } from '../../core/memory/physical-memory.ts';
import { retry } from '../../driver/retry.ts';
import type { MemoryRegion, Snapshot } from '../../driver/snapshot.ts';

const CHUNK_BYTES = 256 * 1024;

export interface MemoryChunk {
  readonly pa: number;
  readonly pages: number;
  /** 1024 for each page; used again for the next chunk, where memory is read entry by entry. */
  readonly words: Uint32Array;
}

export interface ChunkOptions {
  /** The pages that are read; defaults to all. */
  readonly pages?: readonly number[] | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** Ascending. @throws what reading throws; the reason of `signal` when it is aborted */
export async function* memoryChunks(
  snapshot: Snapshot,
  { pages: only, signal }: ChunkOptions = {},
): AsyncGenerator<MemoryChunk, void, undefined> {
  for (const pa of only ?? []) yield { pa, pages: 1, words: await wordsOf(snapshot, pa, 1, signal) };
  if (only !== undefined) return;
  for (const { pa, byteLength } of searchedRegions(snapshot)) {
    for (let done = 0; done < byteLength; done += CHUNK_BYTES) {
      signal?.throwIfAborted();
      const pages = Math.min(CHUNK_BYTES, byteLength - done) / PAGE_BYTES;
      yield { pa: pa + done, pages, words: await wordsOf(snapshot, pa + done, pages, signal) };
    }
  }
}

/** Where anything can be found: a few bytes of a file may name any amount of zeroes. */
export function searchedRegions({ regions, zeroes = [] }: Snapshot): readonly MemoryRegion[] {
  const left = new Set(zeroes.map(({ pa }) => pa));
  return regions.filter(({ pa }) => !left.has(pa));
}

async function wordsOf(snapshot: Snapshot, pa: number, pages: number, signal?: AbortSignal): Promise<Uint32Array> {
  const bytes = snapshot.readBytes?.(pa, pages * PAGE_BYTES);
  if (bytes !== undefined) return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  const { memory, remote } = snapshot;
  const words = new Uint32Array((pages * PAGE_BYTES) / 4);
  const entry = new Uint32Array(2);
  await remote?.fetch(
    Array.from({ length: pages }, (_, page) => pa + page * PAGE_BYTES),
    signal,
  );
  for (let at = 0; at < words.length; at += 2) {
    const outcome = await retry(() => memory.readEntry(pa + at * 4, 8, entry), { remote, signal });
    if (outcome === READ_OK) words.set(entry, at);
  }
  return words;
}
