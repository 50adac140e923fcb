/**
 * Where a Linux kernel's own image is mapped (kernel documentation, arch/x86/x86_64/mm): within the GiB above 0xffffffff80000000, with
 * KASLR or without.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
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

/** Of a 32-bit kernel, from its first code on. */
const MAX_BYTES_32 = 1 << 27;
/** PAGE_OFFSET is not below it (CONFIG_VMSPLIT_1G). */
const KERNEL_FROM_32 = 0x4000_0000n;
const END_32 = 1n << 32n;
/** Of code; what a 32-bit kernel has for the BIOS is writable. */
const LEAST_CODE_BYTES = 1 << 16;

/** Where a kernel's image is, and where the processes' part of an address space ends. */
export interface KernelImage {
  /** In ascending order. */
  readonly pieces: readonly ImagePiece[];
  /** Where its code begins. */
  readonly base: bigint;
  readonly userEnd: bigint;
}

/** Undefined where no code is mapped where Linux has its kernel. @throws PtmonError `not-fetched` */
export function* findImage(memory: KernelMemory): Steps<KernelImage | undefined> {
  return memory.wordBytes === 8 ? yield* image64(memory) : yield* image32(memory);
}

function* image64({ paging, physical, root }: KernelMemory): Steps<KernelImage | undefined> {
  const pieces: ImagePiece[] = [];
  let bytes = 0;
  for (const { va, byteLength, rights } of mappedRanges(paging, physical, root, { from: IMAGE_FROM, to: IMAGE_TO })) {
    pieces.push({ va, byteLength, writable: rights.writable, executable: !rights.noExecute });
    bytes += byteLength;
    yield;
    if (bytes >= MAX_BYTES) break;
  }
  const base = pieces.find(({ executable }) => executable)?.va;
  return base === undefined ? undefined : { pieces, base, userEnd: BigInt(paging.lowEnd) * BigInt(PAGE_BYTES) };
}

/**
 * A 32-bit kernel's image is in its map of all low memory, which begins at PAGE_OFFSET (arch/x86/mm/init_32.c); its code is what of it
 * is not writable. Without PAE everything is executable.
 */
function* image32({ paging, physical, root }: KernelMemory): Steps<KernelImage | undefined> {
  const pieces: ImagePiece[] = [];
  let [base, pageOffset]: [bigint | undefined, bigint | undefined] = [undefined, undefined];
  for (const { va, byteLength, rights } of mappedRanges(paging, physical, root, { from: KERNEL_FROM_32, to: END_32 })) {
    yield;
    if (rights.user) continue;
    pageOffset ??= va;
    if (base === undefined && !rights.writable && !rights.noExecute && byteLength >= LEAST_CODE_BYTES) base = va;
    if (base === undefined) continue;
    if (va - base >= MAX_BYTES_32) break;
    pieces.push({ va, byteLength, writable: rights.writable, executable: !rights.noExecute });
  }
  if (base === undefined || pageOffset === undefined) return undefined;
  // The first page of memory may be without a mapping.
  return { pieces, base, userEnd: pageOffset & ~0xff_ffffn };
}
