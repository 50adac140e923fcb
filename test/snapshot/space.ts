/** An address space made page by page, as a snapshot. */
import { PAGE_BYTES } from '../../src/core/address/pa.ts';
import type { PagingModeName } from '../../src/core/paging/modes.ts';
import type { RegisterAccess } from '../../src/driver/driver.ts';
import type { Snapshot } from '../../src/driver/snapshot.ts';
import type { AddressSpace, ComparedSpace } from '../../src/snapshot/index.ts';
import { Machine } from '../core/paging/machine.ts';

export const PRESENT = 1n;
export const WRITABLE = 2n;
export const USER = 4n;
export const LARGE = 0x80n;
export const NO_EXECUTE = 1n << 63n;

/** Frames of tables come from here on; what is mapped lies below. */
const TABLES = 0x10_0000n;

export class SpaceBuilder {
  readonly machine: Machine;
  readonly root: bigint;
  #next = TABLES;

  constructor(mode: PagingModeName = '4-level') {
    this.machine = new Machine({ mode });
    this.root = this.newTable();
  }

  newTable(): bigint {
    const table = this.#next;
    this.#next += BigInt(PAGE_BYTES);
    this.machine.memory.addPage(Number(table) / PAGE_BYTES);
    return table;
  }

  /** Puts an entry into the table of `level` for `va`, making the tables above; all of them allow everything. */
  put(va: bigint, level: number, value: bigint): void {
    this.machine.put(this.machine.entryPa(level, this.tableFor(va, level), va), value);
  }

  /** The table of `level` that translates `va`. */
  tableFor(va: bigint, level: number): bigint {
    const { machine } = this;
    let table = this.root;
    for (let above = machine.paging.levels[0]!.level; above > level; above--) {
      const entryPa = machine.entryPa(above, table, va);
      let entry = machine.read(entryPa, machine.entryBytes)!;
      if (entry === 0n) {
        entry = this.newTable() | (machine.options.mode === 'pae' && above === 3 ? PRESENT : PRESENT | WRITABLE | USER);
        machine.put(entryPa, entry);
      }
      table = entry & 0xf_ffff_ffff_f000n;
    }
    return table;
  }

  /** Maps pages one after the other. */
  map(va: bigint, pages: number, pa: bigint, flags = PRESENT | WRITABLE | USER): this {
    for (let page = 0n; page < pages; page++) this.put(va + page * 4096n, 1, (pa + page * 4096n) | flags);
    return this;
  }

  unmap(va: bigint, pages: number): this {
    for (let page = 0n; page < pages; page++) this.put(va + page * 4096n, 1, 0n);
    return this;
  }

  get space(): AddressSpace {
    return { paging: this.machine.paging, root: Number(this.root), from: 'made', isGuess: false };
  }

  snapshot(registers?: RegisterAccess): Snapshot {
    return {
      description: 'made',
      memory: this.machine.memory,
      regions: [{ pa: 0, byteLength: Number(this.#next) }],
      ...(registers !== undefined && { registers }),
      close: async () => {},
    };
  }

  get compared(): ComparedSpace {
    return { snapshot: this.snapshot(), space: this.space };
  }
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
