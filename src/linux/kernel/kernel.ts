/** What a search for a kernel takes and returns. */
import type { PhysicalMemory } from '../../core/memory/physical-memory.ts';
import type { Paging } from '../../core/paging/format.ts';
import type { RegisterAccess, RemoteFetch } from '../../driver/driver.ts';
import type { KernelRoot } from '../../driver/snapshot.ts';
import type { Btf } from '../btf/btf.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';
import type { ImagePiece } from './find-image.ts';
import type { KernelCache } from './kernel-places.ts';

/** What a kernel can be found in: a driver or a snapshot of a guest. */
export interface KernelSource {
  readonly memory: PhysicalMemory;
  readonly remote?: RemoteFetch;
  readonly registers?: RegisterAccess;
  readonly kernelRoot?: KernelRoot;
  /** Whether it holds the watched page tables alone, as a trace does: no kernel can be found in it. */
  readonly isExcerpt?: boolean;
}

export interface LinuxKernel {
  /** Through the kernel's own top-level table where it was found; else through that of a process, which may go. */
  readonly memory: KernelMemory;
  readonly btf: Btf;
  /** Where its code begins, virtual and physical: KASLR moves both. */
  readonly base: bigint;
  readonly basePa: number;
  /** Undefined where its image has no build id. */
  readonly buildId: string | undefined;
  /** Address of `init_task`. */
  readonly initTask: bigint;
  /** Where the bounds of the page of old system calls are kept, in an area of no process; undefined where they are not. */
  readonly gate: bigint | undefined;
  /** What is mapped of its image. */
  readonly image: readonly ImagePiece[];
  /** Where the processes' part of an address space ends. */
  readonly userEnd: bigint;
}

export interface FindKernelOptions {
  /** Without one, each search reads the whole image. */
  readonly cache?: KernelCache;
  /** An address space that has the kernel; defaults to those that the source names. */
  readonly space?: { readonly paging: Paging; readonly root: number };
  /** The kernel's types, for one that was built without them. */
  readonly types?: Btf;
  /** Is given what is odd, human-readable: types that are not used. */
  readonly onWarning?: (warning: string) => void;
  readonly signal?: AbortSignal;
}
