/**
 * The kernel's build id, from the ELF notes in its image (include/asm-generic/vmlinux.lds.h, NOTES; elf(5), NT_GNU_BUILD_ID): three
 * words (name of 4 bytes, id of 20 bytes, type 3), `GNU\0`, the id.
 */
import { GuestFault } from '../memory/guest-fault.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';
import { type Chunk, placesOf } from './chunk.ts';

const NOTE = [4, 20, 3, 0x00554e47] as const;
const NOTE_BYTES = 36;
/** `\x7fELF` */
const ELF = 0x464c457f;
/** The images of the vDSO are in the kernel's data, begin at a page, and have a build id of their own within their first pages. */
const VDSO_PAGES = 4;

/** Addresses of the notes in a chunk. */
export function buildIdNotes(chunk: Chunk): bigint[] {
  return placesOf(chunk, NOTE);
}

/** The id of the note at `va`, in hexadecimal; undefined where there is none. @throws PtmonError `not-fetched` */
export function readBuildId(memory: KernelMemory, va: bigint): string | undefined {
  try {
    const bytes = memory.bytes(va, NOTE_BYTES);
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    if (!NOTE.every((word, index) => view.getUint32(index * 4, true) === word)) return undefined;
    return Buffer.from(bytes.subarray(16)).toString('hex');
  } catch (error) {
    if (error instanceof GuestFault) return undefined;
    throw error;
  }
}

/** Whether a note is a vDSO's. @throws PtmonError `not-fetched` */
export function isOfVdso(memory: KernelMemory, note: bigint): boolean {
  const page = note & ~0xfffn;
  for (let back = 0n; back < VDSO_PAGES; back++) {
    try {
      if (memory.u32(page - back * 4096n) === ELF) return true;
    } catch (error) {
      if (error instanceof GuestFault) return false;
      throw error;
    }
  }
  return false;
}
