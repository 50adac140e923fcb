/**
 * The kernel's own top-level table, `swapper_pg_dir`, which every process's upper half is a copy of: unlike a process's it never goes.
 * It lies in the kernel's image; known by having all that a process's upper half has, and nothing below it.
 */
import { PAGE_BYTES } from '../../core/address/pa.ts';
import { PtmonError } from '../../core/error.ts';
import { READ_NOT_FETCHED, READ_OK } from '../../core/memory/physical-memory.ts';
import { attempt } from '../memory/guest-fault.ts';
import type { KernelMemory } from '../memory/kernel-memory.ts';
import type { Chunk } from './chunk.ts';

const PAGE_WORDS = PAGE_BYTES / 4;
const UPPER_HALF = PAGE_WORDS / 2;
/** Accessed and dirty: the processor's to set. */
const OWN_BITS = ~0x60;

/** Addresses of the pages of a chunk that may be it. @param upper the upper half of a table that has the kernel loaded */
export function kernelRoots({ va, words }: Chunk, upper: Uint32Array): bigint[] {
  const found: bigint[] = [];
  for (let page = 0; page < words.length; page += PAGE_WORDS) {
    if (isCopy(words.subarray(page, page + PAGE_WORDS), upper)) found.push(va + BigInt(page * 4));
  }
  return found;
}

/** Whether the page at `va` is it. @throws PtmonError `not-fetched` */
export function isKernelRoot(memory: KernelMemory, va: bigint): boolean {
  const upper = upperHalfOf(memory);
  const bytes = attempt(() => memory.bytes(va, PAGE_BYTES));
  return bytes !== undefined && isCopy(new Uint32Array(bytes.buffer), upper);
}

/** The upper half of the table that `memory` begins its walks with. @throws PtmonError `not-fetched` */
export function upperHalfOf({ physical, root }: KernelMemory): Uint32Array {
  const upper = new Uint32Array(UPPER_HALF);
  for (let word = 0; word < UPPER_HALF; word += 2) {
    const pa = root + PAGE_BYTES / 2 + word * 4;
    const outcome = physical.readEntry(pa, 8, upper.subarray(word, word + 2));
    if (outcome === READ_NOT_FETCHED)
      throw new PtmonError('not-fetched', 'the table is not fetched yet', { missing: [pa] });
    if (outcome !== READ_OK) break;
  }
  return upper;
}

/** What is in the last entry maps the kernel's image: no kernel is without. An entry of a process's own (its LDT) may be missing. */
function isCopy(table: Uint32Array, upper: Uint32Array): boolean {
  if ((table[PAGE_WORDS - 2]! & 1) === 0 || !isSame(table, upper, UPPER_HALF - 2)) return false;
  for (let word = 0; word < UPPER_HALF; word++) if (table[word] !== 0) return false;
  let same = 0;
  for (let word = 0; word < UPPER_HALF; word += 2) {
    const isAbsent = table[UPPER_HALF + word] === 0 && table[UPPER_HALF + word + 1] === 0;
    if (isAbsent) continue;
    if (!isSame(table, upper, word)) return false;
    same++;
  }
  return same > 1;
}

function isSame(table: Uint32Array, upper: Uint32Array, word: number): boolean {
  return (
    ((table[UPPER_HALF + word]! ^ upper[word]!) & OWN_BITS) === 0 && table[UPPER_HALF + word + 1] === upper[word + 1]
  );
}
