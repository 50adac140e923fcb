/** A guest as small as the rows need it: tables in a map, one root, and a protection that any view has. */
import type { PageProtection } from '../../src/core/memory/page-access.ts';
import {
  type PhysicalMemory,
  READ_NO_MEMORY,
  READ_OK,
  type ReadOutcome,
} from '../../src/core/memory/physical-memory.ts';

export const PAGE = 4096;
/** Present, writable, user. */
export const PWU = 7;

const FIRST_FRAME = 0x100;
/** Physical address of the top-level table. */
export const ROOT = FIRST_FRAME * PAGE;
const LARGE = 0x80;

export class GrowthGuest implements PhysicalMemory, PageProtection {
  readonly #frames: Uint32Array[] = [new Uint32Array(1024)];
  readonly #access = new Map<number, number>();
  /** Physical addresses of the page directories. */
  readonly directories: number[] = [];

  /** A new frame of zeros; its physical address. */
  frame(): number {
    this.#frames.push(new Uint32Array(1024));
    return (FIRST_FRAME + this.#frames.length - 1) * PAGE;
  }

  readEntry(pa: number, _byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    const frame = this.#frames[Math.floor(pa / PAGE) - FIRST_FRAME];
    if (frame === undefined) return READ_NO_MEMORY;
    out[0] = frame[(pa % PAGE) / 4]!;
    out[1] = frame[(pa % PAGE) / 4 + 1]!;
    return READ_OK;
  }

  getAccess(view: number, gfn: number): number {
    return this.#access.get(keyOf(view, gfn)) ?? 7;
  }

  setAccess(view: number, gfn: number, access: number): void {
    if (access === 7) this.#access.delete(keyOf(view, gfn));
    else this.#access.set(keyOf(view, gfn), access);
  }

  /** Writes an entry whose value is below 2^53. */
  write(pa: number, value: number): void {
    const frame = this.#frames[Math.floor(pa / PAGE) - FIRST_FRAME]!;
    frame[(pa % PAGE) / 4] = value % 2 ** 32;
    frame[(pa % PAGE) / 4 + 1] = Math.floor(value / 2 ** 32);
  }

  /** Fills a frame with zeros. */
  clear(pa: number): void {
    this.#frames[pa / PAGE - FIRST_FRAME]!.fill(0);
  }

  /** Maps the pages from 0 to `pages` - 1, each to a frame of its own, by 4 KiB pages. Returns their leaf entries. */
  map(first: number, pages: number): number[] {
    const leaves: number[] = [];
    let [pdpt, directory, table] = [0, 0, 0];
    for (let page = first; page < first + pages; page++) {
      if (page % 2 ** 27 === 0 || pdpt === 0) pdpt = this.#link(ROOT + 8 * Math.floor(page / 2 ** 27));
      if (page % 2 ** 18 === 0 || directory === 0) {
        directory = this.#link(pdpt + 8 * (Math.floor(page / 2 ** 18) % 512));
        this.directories.push(directory);
      }
      if (page % 512 === 0 || table === 0) table = this.#link(directory + 8 * (Math.floor(page / 512) % 512));
      const leaf = table + 8 * (page % 512);
      this.write(leaf, (0x100_0000 + page) * PAGE + PWU);
      leaves.push(leaf);
    }
    return leaves;
  }

  /** Maps the first `count` GiB, at most 512, by leaves of 1 GiB. */
  mapGigabytes(count: number): void {
    const pdpt = this.#link(ROOT);
    for (let slot = 0; slot < count; slot++) this.write(pdpt + 8 * slot, slot * 2 ** 30 + PWU + LARGE);
  }

  #link(entryPa: number): number {
    const table = this.frame();
    this.write(entryPa, table + PWU);
    return table;
  }
}

function keyOf(view: number, gfn: number): number {
  return gfn * 2 ** 20 + view;
}
