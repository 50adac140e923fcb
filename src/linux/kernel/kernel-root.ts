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
/** Accessed and dirty: the processor's to set. */
const OWN_BITS = ~0x60;

/** The kernel's entries of a top-level table, and where they are in it. */
export interface KernelEntries {
  /** Words of an entry. */
  readonly entryWords: 1 | 2;
  /** Words of the entries below. */
  readonly before: number;
  readonly words: Uint32Array;
}

/** Addresses of the pages of a chunk that may be it. @param entries of a table that has the kernel loaded */
export function kernelRoots({ va, words }: Chunk, entries: KernelEntries): bigint[] {
  const found: bigint[] = [];
  for (let page = 0; page < words.length; page += PAGE_WORDS) {
    if (isCopy(words.subarray(page, page + PAGE_WORDS), entries)) found.push(va + BigInt(page * 4));
  }
  return found;
}

/** Whether the page at `va` is it. @throws PtmonError `not-fetched` */
export function isKernelRoot(memory: KernelMemory, userEnd: bigint, va: bigint): boolean {
  const entries = kernelEntriesOf(memory, userEnd);
  const bytes = attempt(() => memory.bytes(va, PAGE_BYTES));
  return bytes !== undefined && isCopy(new Uint32Array(bytes.buffer), entries);
}

/**
 * The kernel's entries of the table that `memory` begins its walks with.
 *
 * @param userEnd where the processes' part of an address space ends
 * @throws PtmonError `not-fetched`
 */
export function kernelEntriesOf({ paging, physical, root }: KernelMemory, userEnd: bigint): KernelEntries {
  const { entryBytes, canonical } = paging.mode;
  const { slots, slotPages } = paging.levels[0]!;
  const first = canonical ? slots / 2 : Number(userEnd / BigInt(slotPages * PAGE_BYTES));
  const entryWords = entryBytes === 8 ? 2 : 1;
  const words = new Uint32Array((slots - first) * entryWords);
  const entry = new Uint32Array(2);
  for (let slot = first; slot < slots; slot++) {
    const pa = root + slot * entryBytes;
    const outcome = physical.readEntry(pa, entryBytes, entry);
    if (outcome === READ_NOT_FETCHED)
      throw new PtmonError('not-fetched', 'the table is not fetched yet', { missing: [pa] });
    if (outcome !== READ_OK) break;
    words.set(entry.subarray(0, entryWords), (slot - first) * entryWords);
  }
  return { entryWords, before: first * entryWords, words };
}

/**
 * What is in the last entry maps the kernel's image in 64-bit mode, and in PAE all of the kernel: no kernel is without. An entry of a
 * process's own (its LDT) may be missing. Behind the four entries of PAE is nothing.
 */
function isCopy(table: Uint32Array, { entryWords, before, words }: KernelEntries): boolean {
  const end = before + words.length;
  for (let word = 0; word < before; word++) if (table[word] !== 0) return false;
  for (let word = end; word < PAGE_WORDS; word++) if (table[word] !== 0) return false;
  const last = end - entryWords;
  if (entryWords === 2 && (table[last]! & 1) === 0) return false;
  let same = 0;
  for (let word = before; word < end; word += entryWords) {
    const high = entryWords === 2 ? table[word + 1] : 0;
    if (table[word] === 0 && high === 0) continue;
    const own = word - before;
    if (((table[word]! ^ words[own]!) & OWN_BITS) !== 0) return false;
    if (entryWords === 2 && high !== words[own + 1]) return false;
    same++;
  }
  // One alone could be by chance, where there are more.
  return same > (words.length > entryWords ? 1 : 0);
}
