/**
 * The guest of the benchmark: every root has its own tables; its addresses are consecutive pages from 0, 512 to a page
 * table, all in one directory, each backed by a frame of its own. Frames of a root, in memory order:
 *
 *      [PML5] PML4 PDPT PD PT PT PT …
 */
import { PAGE_BYTES } from '../src/core/address/pa.ts';
import { vaOf } from '../src/core/address/va.ts';
import { FlatMemory } from './flat-memory.ts';

export interface Layout {
  readonly mode: '4-level' | '5-level';
  readonly roots: number;
  /** At most 512 × 512: one directory. */
  readonly addressesPerRoot: number;
}

const FIRST_TABLE_GFN = 0x100;
/** Frames that back the addresses; above every table. Nothing reads them. */
const FIRST_DATA_GFN = 0x100_0000;
/** Frames that look like tables and are on no watched walk. */
const FIRST_UNWATCHED_GFN = 0x80_0000;

const SLOTS = 512;
const ENTRY_BYTES = 8;

/** Bits of an entry's low word. */
export const PRESENT = 0x01;
export const ACCESSED = 0x20;
export const DIRTY = 0x40;
const MAPPED = PRESENT | ACCESSED | DIRTY | 0x06;

export class World {
  readonly layout: Layout;
  readonly memory: FlatMemory;
  /** All watched addresses. */
  readonly addresses: number;
  /** All tables. */
  readonly tables: number;
  /** All entries on a walk of some address. */
  readonly entries: number;
  /** The virtual address of each page of a root: the same in every root, and made before anything is timed. */
  readonly vas: readonly bigint[];
  readonly #framesPerRoot: number;
  readonly #upperTables: number;

  constructor(layout: Layout) {
    this.layout = layout;
    const { roots, addressesPerRoot } = layout;
    const pageTables = Math.ceil(addressesPerRoot / SLOTS);
    this.#upperTables = layout.mode === '5-level' ? 4 : 3;
    this.#framesPerRoot = this.#upperTables + pageTables;
    this.addresses = roots * addressesPerRoot;
    this.tables = roots * this.#framesPerRoot;
    // Each table but the root is named by one entry.
    this.entries = this.addresses + this.tables - roots;
    this.vas = Array.from({ length: addressesPerRoot }, (_, page) => vaOf(page, 0));
    this.memory = new FlatMemory(FIRST_TABLE_GFN, this.tables);
    for (let root = 0; root < roots; root++) this.#build(root);
  }

  /** Physical address of the top-level table of a root. */
  root(root: number): number {
    return (FIRST_TABLE_GFN + root * this.#framesPerRoot) * PAGE_BYTES;
  }

  /** Physical address of the leaf entry of address number `address`, 0 to `addresses` - 1. */
  leaf(address: number): number {
    const root = Math.floor(address / this.layout.addressesPerRoot);
    const page = address % this.layout.addressesPerRoot;
    return this.root(root) + this.#upperTables * PAGE_BYTES + page * ENTRY_BYTES;
  }

  /** Directory entries with 512 addresses below them, in all roots. */
  get fullDirectoryEntries(): number {
    return this.layout.roots * Math.floor(this.layout.addressesPerRoot / SLOTS);
  }

  /** Physical address of one of them, 0 to `fullDirectoryEntries` - 1. */
  directoryEntry(index: number): number {
    const perRoot = Math.floor(this.layout.addressesPerRoot / SLOTS);
    const directory = this.root(Math.floor(index / perRoot)) + (this.#upperTables - 1) * PAGE_BYTES;
    return directory + (index % perRoot) * ENTRY_BYTES;
  }

  /** Physical address of an entry in a table that nothing watches; there are as many of them as there are watched tables. */
  unwatched(table: number, slot: number): number {
    return (FIRST_UNWATCHED_GFN + table) * PAGE_BYTES + slot * ENTRY_BYTES;
  }

  #build(root: number): void {
    const first = FIRST_TABLE_GFN + root * this.#framesPerRoot;
    for (let table = 0; table < this.#upperTables - 1; table++) this.#write(first + table, 0, first + table + 1);
    const directory = first + this.#upperTables - 1;
    for (let page = 0; page < this.layout.addressesPerRoot; page++) {
      const pageTable = directory + 1 + Math.floor(page / SLOTS);
      if (page % SLOTS === 0) this.#write(directory, page / SLOTS, pageTable);
      this.#write(pageTable, page % SLOTS, FIRST_DATA_GFN + root * this.layout.addressesPerRoot + page);
    }
  }

  #write(tableGfn: number, slot: number, gfn: number): void {
    const word = ((tableGfn - FIRST_TABLE_GFN) * PAGE_BYTES + slot * ENTRY_BYTES) / 4;
    this.memory.words[word] = ((gfn << 12) | MAPPED) >>> 0;
    this.memory.words[word + 1] = gfn >>> 20;
  }
}
