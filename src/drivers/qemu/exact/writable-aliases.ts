/**
 * Where the guest can write to a frame: the virtual addresses that its own page tables map to it.
 *
 * Watchpoints are virtual, page tables are known by physical address. Linux writes its tables through its map of all memory,
 * other systems through a self-map; what is looked for is any writable leaf, so nothing is assumed about the system.
 */
import { gfnOf, PAGE_BYTES } from '../../../core/address/pa.ts';
import type { PhysicalMemory } from '../../../core/memory/physical-memory.ts';
import { mappedRanges } from '../../../core/paging/enumerate.ts';
import type { Paging } from '../../../core/paging/format.ts';

interface Alias {
  readonly gfn: number;
  readonly pages: number;
  readonly va: bigint;
}

export class WritableAliases {
  readonly root: number;
  readonly #supervisor: Alias[] = [];
  readonly #user: Alias[] = [];
  readonly #known = new Map<number, readonly bigint[]>();

  private constructor(root: number) {
    this.root = root;
  }

  /** What a root maps writable. @throws PtmonError `not-fetched`, or what the memory throws */
  static of(paging: Paging, memory: PhysicalMemory, root: number): WritableAliases {
    const aliases = new WritableAliases(root);
    for (const { va, pa, byteLength, rights } of mappedRanges(paging, memory, root)) {
      if (!rights.writable) continue;
      const list = rights.user ? aliases.#user : aliases.#supervisor;
      list.push({ gfn: gfnOf(pa), pages: byteLength / PAGE_BYTES, va });
    }
    return aliases;
  }

  /** The root's own frame is writable through it: so it is of a system's own table, not one that shows a process little more than itself. */
  get isComplete(): boolean {
    return this.find(gfnOf(this.root)).length > 0;
  }

  /** Virtual addresses of a frame, zero-extended: those that only a supervisor can write to, or else those that a user can. */
  find(gfn: number): readonly bigint[] {
    let found = this.#known.get(gfn);
    if (found === undefined) {
      found = addressesOf(this.#supervisor, gfn);
      // Of a user's mapping the frame may have been taken and given to the tables since.
      if (found.length === 0) found = addressesOf(this.#user, gfn);
      this.#known.set(gfn, found);
    }
    return found;
  }
}

function addressesOf(aliases: readonly Alias[], gfn: number): bigint[] {
  return aliases
    .filter((alias) => gfn >= alias.gfn && gfn < alias.gfn + alias.pages)
    .map((alias) => alias.va + BigInt((gfn - alias.gfn) * PAGE_BYTES));
}
