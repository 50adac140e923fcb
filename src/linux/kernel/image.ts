/**
 * Where a Linux kernel's own image is mapped (kernel documentation, arch/x86/x86_64/mm): within the GiB above 0xffffffff80000000, with
 * KASLR or without.
 */
import { mappedRanges } from '../../core/paging/enumerate.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';
import type { Steps } from '../memory/steps.ts';

const IMAGE_FROM = 0xffff_ffff_8000_0000n;
/** Modules begin here. */
const IMAGE_TO = 0xffff_ffff_c000_0000n;
/** Kernels with everything in them have about 100 MiB. */
const MAX_BYTES = 1 << 29;

export interface ImagePiece {
  readonly va: bigint;
  readonly byteLength: number;
  readonly writable: boolean;
  readonly executable: boolean;
}

/** What is mapped there, in ascending order. @throws PtmonError `not-fetched` */
export function* imagePieces({ paging, physical, root }: KernelMemory): Steps<ImagePiece[]> {
  const pieces: ImagePiece[] = [];
  let bytes = 0;
  for (const { va, byteLength, rights } of mappedRanges(paging, physical, root, { from: IMAGE_FROM, to: IMAGE_TO })) {
    pieces.push({ va, byteLength, writable: rights.writable, executable: !rights.noExecute });
    bytes += byteLength;
    yield;
    if (bytes >= MAX_BYTES) break;
  }
  return pieces;
}

/** Its first executable page, where the kernel's code begins. */
export function imageBase(pieces: readonly ImagePiece[]): bigint | undefined {
  return pieces.find(({ executable }) => executable)?.va;
}
