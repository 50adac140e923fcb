/**
 * A guest at one moment: what a dump holds, a live guest while it is stopped, a trace at one of its writes. Whatever only asks
 * (translate, list, compare, find processes) takes one of these and cares not where it comes from.
 */
import type { PhysicalMemory } from '../core/memory/physical-memory.ts';
import type { PagingModeName } from '../core/paging/modes.ts';
import type { RegisterAccess, RemoteFetch } from './driver.ts';

/** A range of physical addresses that holds RAM. Both are multiples of 4096. */
export interface MemoryRegion {
  readonly pa: number;
  readonly byteLength: number;
}

/** The kernel's own top-level table, where the source names it. */
export interface KernelRoot {
  /** Physical address. */
  readonly root: number;
  readonly mode: PagingModeName;
  /** AMD's memory encryption, where it is on. */
  readonly encryptionMask?: bigint;
  /** What says so, human-readable. */
  readonly from: string;
}

/** What of a snapshot going through its tables takes. */
export type TableSource = Pick<Snapshot, 'description' | 'memory' | 'remote'>;

export interface Snapshot {
  /** In a line for people: what is read, and how. */
  readonly description: string;
  /** What of the source is missing or odd, a sentence each, and does not keep the rest from being read. */
  readonly warnings?: readonly string[];
  /** Whether it holds only the tables that were watched, as a trace does: then others are missing for a reason. */
  readonly isExcerpt?: boolean;
  readonly memory: PhysicalMemory;
  /** Where memory must be fetched before it can be read. */
  readonly remote?: RemoteFetch;
  /** Where RAM is, in ascending order. */
  readonly regions: readonly MemoryRegion[];
  /** Those of `regions` that the source says are zeroes, and does not have: a search passes over them. */
  readonly zeroes?: readonly MemoryRegion[];
  /** RAM that the source says there is, and that it lacks: a file that was cut off. */
  readonly missing?: readonly MemoryRegion[];
  /** Bytes of a file whose positions are taken for physical addresses; absent where addresses are known. */
  readonly rawBytes?: number;
  /** Absent where the source has none: raw memory. */
  readonly registers?: RegisterAccess;
  /** Absent where the source names none. */
  readonly kernelRoot?: KernelRoot;
  /**
   * Bytes at a physical address, of any length, as fast as the source can; absent where memory is read entry by entry.
   *
   * @returns undefined where any of them is not RAM
   */
  readBytes?(pa: number, byteLength: number): Uint8Array | undefined;
  /** Whether the page at `pa`, which reads as zeroes, may have held something else: the source left out such pages. */
  isLeftOut?(pa: number): boolean;
  /** Releases the source. @throws PtmonError where a guest may have been left stopped */
  close(): Promise<void>;
}
