/** Mapped ranges in words, and memory that is watched while they are found. */
import { type PhysicalMemory, READ_NOT_FETCHED } from '../../../src/core/memory/physical-memory.ts';
import { type EnumerateOptions, type MappedRange, mappedRanges } from '../../../src/core/paging/enumerate.ts';
import { hex, type Machine } from './machine.ts';

/** `va+byteLength -> pa / pageSize rights`, so that a difference can be read. */
export function line({ va, byteLength, pa, pageSize, rights }: MappedRange): string {
  const { writable, user, noExecute, protectionKey: key } = rights;
  const letters = `${writable ? 'w' : '-'}${user ? 'u' : '-'}${noExecute ? '-' : 'x'}${key > 0 ? ` key ${key}` : ''}`;
  return `${hex(va)}+${hex(byteLength)} -> ${hex(pa)} / ${hex(pageSize)} ${letters}`;
}

export const lines = (machine: Machine, root: bigint, options?: EnumerateOptions): string[] =>
  [...mappedRanges(machine.paging, machine.memory, root, options)].map(line);

/** Counts reads, and makes some frames missing. */
export class Watched implements PhysicalMemory {
  reads = 0;
  readonly missing = new Set<number>();
  readonly #machine: Machine;

  constructor(machine: Machine) {
    this.#machine = machine;
  }

  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array) {
    this.reads++;
    if (this.missing.has(Math.floor(pa / 4096))) return READ_NOT_FETCHED;
    return this.#machine.memory.readEntry(pa, byteLength, out);
  }
}
