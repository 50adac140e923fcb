/** Memory by the kernel's own virtual addresses, through its own page tables: what its pointers lead to. */
import { frameOffsetOf, gfnOf, PAGE_BYTES } from '../../core/address/pa.ts';
import { hex, u64Of } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { type PhysicalMemory, READ_NOT_FETCHED, READ_OK, type ReadOutcome } from '../../core/memory/physical-memory.ts';
import type { Paging } from '../../core/paging/format.ts';
import { walk } from '../../core/paging/walk.ts';
import { GuestFault } from './guest-fault.ts';

/** Translations that are remembered at most. */
const MAX_PAGES = 1 << 16;
/**
 * Reads between two calls of `begin`: some seconds' worth. Lists, trees and paths of a guest end by it whatever they are made of; a
 * million processes would need more, and Linux has at most four.
 */
const MAX_READS = 1 << 24;

const decoder = new TextDecoder();

/**
 * Every read throws PtmonError `not-fetched` where remote memory must be fetched first, and GuestFault where the address leads
 * nowhere.
 */
export class KernelMemory {
  readonly paging: Paging;
  readonly physical: PhysicalMemory;
  /** Physical address of the top-level table. */
  readonly root: number;
  /** Bytes of a pointer and of an `unsigned long`: 8, or 4 in a 32-bit kernel. */
  readonly wordBytes: 8 | 4;
  /** The frame of each page that was read, by the page's address: of the kernel's large pages, which stay, and of small ones. */
  readonly #stable = new Map<bigint, number>();
  readonly #passing = new Map<bigint, number>();
  readonly #entry = new Uint32Array(2);
  #readsLeft = MAX_READS;

  constructor(paging: Paging, physical: PhysicalMemory, root: number) {
    this.paging = paging;
    this.physical = physical;
    this.root = root;
    this.wordBytes = paging.mode.canonical ? 8 : 4;
  }

  /** The lowest address that may be the kernel's: the upper half, or what 32-bit kernels leave to themselves at least. */
  get kernelStart(): bigint {
    return this.wordBytes === 8 ? 1n << 63n : 0x4000_0000n;
  }

  /** The guest has run: what was mapped by small pages (modules, vmalloc) may be elsewhere now. The map of all memory is not. */
  forget(): void {
    this.#passing.clear();
  }

  /** Something new is asked: as many reads are allowed as for anything else. */
  begin(): void {
    this.#readsLeft = MAX_READS;
  }

  /** The physical address behind `va`. */
  pa(va: bigint): number {
    const offset = Number(va & 0xfffn);
    return this.#frameOf(va - BigInt(offset)) * PAGE_BYTES + offset;
  }

  /** Any bytes; a copy. */
  bytes(va: bigint, byteLength: number): Uint8Array {
    this.#count();
    const before = Number(va & 7n);
    const words = Math.ceil((before + byteLength) / 8) * 2;
    const out = new Uint32Array(words);
    const missing: number[] = [];
    for (let word = 0; word < words; ) {
      const at = va - BigInt(before) + BigInt(word * 4);
      const pa = this.pa(at);
      const count = Math.min(words - word, (PAGE_BYTES - frameOffsetOf(pa)) / 4);
      const outcome = this.#copy(pa, out, word, count);
      if (outcome === READ_NOT_FETCHED) missing.push(pa);
      else if (outcome !== READ_OK) throw notMemory(at, pa);
      word += count;
    }
    if (missing.length > 0) throw notFetched(missing);
    return new Uint8Array(out.buffer, before, byteLength);
  }

  /** 8 bytes at a multiple of 8, or any others. */
  u64(va: bigint): bigint {
    if ((va & 7n) === 0n) {
      this.#count();
      const pa = this.pa(va);
      const outcome = this.physical.readEntry(pa, 8, this.#entry);
      if (outcome === READ_OK) return u64Of(this.#entry[0]!, this.#entry[1]!);
      throw outcome === READ_NOT_FETCHED ? notFetched([pa]) : notMemory(va, pa);
    }
    const bytes = this.bytes(va, 8);
    return new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true);
  }

  /** A pointer or an `unsigned long`, as wide as the kernel has them. */
  pointer(va: bigint): bigint {
    return this.wordBytes === 8 ? this.u64(va) : BigInt(this.u32(va));
  }

  u32(va: bigint): number {
    const bytes = this.bytes(va, 4);
    return new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true);
  }

  u8(va: bigint): number {
    return this.bytes(va, 1)[0]!;
  }

  /** A text that ends with a zero byte, or after `maxBytes`. */
  text(va: bigint, maxBytes: number): string {
    const parts: Uint8Array[] = [];
    for (let length = 0; length < maxBytes; ) {
      // No further than its page: what follows may not be mapped.
      const here = va + BigInt(length);
      const part = this.bytes(here, Math.min(maxBytes - length, 64 - Number(here & 63n)));
      const end = part.indexOf(0);
      parts.push(end < 0 ? part : part.subarray(0, end));
      if (end >= 0) break;
      length += part.length;
    }
    return decoder.decode(Buffer.concat(parts));
  }

  #count(): void {
    if (this.#readsLeft === 0) throw new GuestFault(`it does not end: given up after ${MAX_READS} reads`);
    this.#readsLeft--;
  }

  /** Words within one frame, whose memory is all there or not at all. */
  #copy(pa: number, out: Uint32Array, from: number, count: number): ReadOutcome {
    const entry = this.#entry;
    for (let word = 0; word < count; word += 2) {
      const outcome = this.physical.readEntry(pa + word * 4, 8, entry);
      if (outcome !== READ_OK) return outcome;
      out[from + word] = entry[0]!;
      out[from + word + 1] = entry[1]!;
    }
    return READ_OK;
  }

  /** An address that a guest's number has taken beyond the width of addresses goes round, as in the processor. */
  #frameOf(at: bigint): number {
    const page = BigInt.asUintN(this.wordBytes * 8, at);
    const known = this.#stable.get(page) ?? this.#passing.get(page);
    if (known !== undefined) return known;
    const found = walk(this.paging, this.physical, this.root, page);
    if (!found.translates) throw new GuestFault(`kernel address ${hex(page)} leads nowhere (${found.reason})`);
    const gfn = gfnOf(found.pa);
    const frames = found.pageSize > PAGE_BYTES ? this.#stable : this.#passing;
    if (frames.size === MAX_PAGES) frames.clear();
    frames.set(page, gfn);
    return gfn;
  }
}

function notMemory(va: bigint, pa: number): GuestFault {
  return new GuestFault(`kernel address ${hex(va)} leads to ${hex(pa)}, where no memory is`);
}

function notFetched(missing: readonly number[]): PtmonError {
  return new PtmonError('not-fetched', `memory at ${hex(missing[0]!)} is not fetched yet`, { missing });
}
