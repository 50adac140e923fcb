/**
 * How the guest's kernel reads and writes memory: it reads as it likes, and every write goes through its vCPU, where it may
 * trap. Callers are coroutines: what was read before a `yield*` may be different after it.
 */
import { gfnOf, PAGE_BYTES, paOf } from '../../../core/address/pa.ts';
import { ENTRY_TABLE, kindOf, type Paging, slotOf, tableGfn } from '../../../core/paging/format.ts';
import type { Machine } from '../../machine/machine.ts';
import type { Steps } from '../../workload.ts';
import { PRESENT, WRITABLE } from './entry.ts';

const ZEROES = new Uint32Array(PAGE_BYTES / 4);

/** Where `seek` has stopped. */
export interface Found {
  vpn: number;
  /** Of the table that contains the entry: 1 for a page, 2 for a large one. */
  level: number;
  /** Physical address of the entry. */
  pa: number;
  lo: number;
  hi: number;
}

export class KernelMemory {
  readonly machine: Machine;
  readonly paging: Paging;
  /** The two words of the entry that `load` has read last. */
  lo = 0;
  hi = 0;
  readonly #entryBytes: 4 | 8;
  /** Whether this kernel writes 8-byte entries with 4-byte stores: a 32-bit one. */
  readonly #halves: boolean;
  readonly #locked = new Set<number>();
  readonly #byte = new Uint8Array(1);

  constructor(machine: Machine, paging: Paging) {
    this.machine = machine;
    this.paging = paging;
    this.#entryBytes = paging.mode.entryBytes;
    this.#halves = this.#entryBytes === 8 && paging.mode.vaBits === 32;
  }

  /** Reads an entry into `lo` and `hi`. */
  load(pa: number): void {
    const page = this.words(gfnOf(pa));
    const word = (pa % PAGE_BYTES) >>> 2;
    this.lo = page[word]!;
    this.hi = this.#entryBytes === 8 ? page[word + 1]! : 0;
  }

  /** The content of a frame, to be read. */
  words(gfn: number): Uint32Array {
    return this.machine.page(gfn) ?? ZEROES;
  }

  /**
   * Writes an entry. A 32-bit kernel writes wide ones in two halves, so that the entry is never present with half an address
   * (native_set_pte and native_pte_clear in pgtable-3level.h), and present ones over present ones at once (set_64bit).
   */
  *set(vcpu: number, pa: number, lo: number, hi: number): Steps {
    const { machine } = this;
    if (!this.#halves) {
      if (machine.writeEntry(vcpu, pa, lo, this.#entryBytes === 8 ? hi : undefined)) yield;
      return;
    }
    this.load(pa);
    if (lo & this.lo & PRESENT) {
      if (machine.writeEntry(vcpu, pa, lo, hi)) yield;
    } else if (lo & PRESENT) {
      if (machine.writeEntry(vcpu, pa + 4, hi)) yield;
      if (machine.writeEntry(vcpu, pa, lo)) yield;
    } else {
      if (machine.writeEntry(vcpu, pa, lo)) yield;
      if (machine.writeEntry(vcpu, pa + 4, hi)) yield;
    }
  }

  /** Clears the writable bit as the kernel's clear_bit does it: `lock andb`, one byte. */
  *clearWritable(vcpu: number, pa: number): Steps {
    this.load(pa);
    this.#byte[0] = this.lo & 0xff & ~WRITABLE;
    if (this.machine.write(vcpu, pa, this.#byte)) yield;
  }

  /** Writes any bytes. */
  *write(vcpu: number, pa: number, bytes: Uint8Array): Steps {
    if (this.machine.write(vcpu, pa, bytes)) yield;
  }

  /** Zeroes whole frames, one write each. */
  *clearFrames(vcpu: number, gfn: number, count = 1): Steps {
    for (let n = 0; n < count; n++) if (this.machine.writeFrame(vcpu, gfn + n, ZEROES)) yield;
  }

  /** Copies a frame with one write. */
  *copyFrame(vcpu: number, from: number, to: number): Steps {
    if (this.machine.writeFrame(vcpu, to, this.words(from))) yield;
  }

  /** Takes the lock of a table; waits until it is free. */
  *lock(gfn: number): Steps {
    while (this.#locked.has(gfn)) yield;
    this.#locked.add(gfn);
  }

  unlock(gfn: number): void {
    this.#locked.delete(gfn);
  }

  /** Physical address of the entry for `vpn` in a table of `level`; -1 where the walk ends above it. */
  entryAt(root: number, vpn: number, level: number): number {
    let table = root;
    for (const format of this.paging.levels) {
      const pa = table + slotOf(format, vpn) * this.#entryBytes;
      if (format.level === level) return pa;
      this.load(pa);
      if (kindOf(format, this.lo, this.hi) !== ENTRY_TABLE) return -1;
      table = paOf(tableGfn(format, this.lo, this.hi));
    }
    return -1;
  }

  /** Finds the first entry for a page from `vpn` to before `end` that is not zero: mapped, or in swap. */
  seek(root: number, vpn: number, end: number, found: Found): boolean {
    let at = vpn;
    while (at < end) {
      let table = root;
      for (const format of this.paging.levels) {
        const slot = slotOf(format, at);
        const pa = table + slot * this.#entryBytes;
        this.load(pa);
        if (kindOf(format, this.lo, this.hi) === ENTRY_TABLE) {
          table = paOf(tableGfn(format, this.lo, this.hi));
          continue;
        }
        if ((this.lo | this.hi) !== 0) {
          found.vpn = at - (at % format.slotPages);
          found.level = format.level;
          found.pa = pa;
          found.lo = this.lo;
          found.hi = this.hi;
          return true;
        }
        // Within a page table the next slot is next; above it, a hole is stepped over whole.
        at = format.level === 1 ? this.#nextUsed(table, slot, at) : at - (at % format.slotPages) + format.slotPages;
        break;
      }
    }
    return false;
  }

  /** The page of the next entry of a page table that is not zero, or the first page behind the table. */
  #nextUsed(table: number, slot: number, vpn: number): number {
    const words = this.words(gfnOf(table));
    const { slots } = this.paging.byLevel[1]!;
    const width = this.#entryBytes / 4;
    let next = slot + 1;
    while (next < slots && (words[next * width]! | words[next * width + width - 1]!) === 0) next++;
    return vpn + (next - slot);
  }
}
