/** A trace at one of its instants, as a snapshot: what was followed then is memory, and nothing else. */
import { PAGE_BYTES } from '../../../core/address/pa.ts';
import { READ_NO_MEMORY } from '../../../core/memory/physical-memory.ts';
import type { MemoryRegion, Snapshot } from '../../../driver/snapshot.ts';
import { locate } from '../format/corrupt.ts';
import { TraceReader } from './trace-reader.ts';
import { TraceState } from './trace-state.ts';

export interface TraceSnapshotOptions {
  /** Microseconds since the recording began; defaults to the end. */
  readonly atUs?: number;
}

/**
 * Reads a trace up to an instant.
 *
 * @throws PtmonError `source-unavailable`, `corrupt-input` also for a trace that is damaged before that instant
 */
export function openTraceSnapshot(path: string, { atUs = Infinity }: TraceSnapshotOptions = {}): Snapshot {
  const reader = new TraceReader(path);
  try {
    const state = new TraceState(reader.limits, () => READ_NO_MEMORY);
    let timeUs = 0;
    for (const { timeUs: thenUs, state: records, offset } of reader.instants()) {
      if (thenUs > atUs) break;
      locate(path, offset, () => state.apply(records));
      timeUs = thenUs;
    }
    const frames = state.frames();
    const registers = state.registersOf(reader.about);
    return {
      description: `a trace of ${reader.about.source} at ${(timeUs / 1e6).toFixed(3)} s: ${frames.length} page tables`,
      isExcerpt: true,
      memory: state,
      regions: regionsOf(frames),
      ...(registers !== undefined && { registers }),
      close: async () => {},
    };
  } finally {
    reader.close();
  }
}

/** Neighbouring frames as one region. */
function regionsOf(frames: readonly number[]): MemoryRegion[] {
  const regions: { pa: number; byteLength: number }[] = [];
  for (const gfn of frames) {
    const last = regions.at(-1);
    if (last !== undefined && last.pa + last.byteLength === gfn * PAGE_BYTES) last.byteLength += PAGE_BYTES;
    else regions.push({ pa: gfn * PAGE_BYTES, byteLength: PAGE_BYTES });
  }
  return regions;
}
