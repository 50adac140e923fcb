/**
 * Where the guest can write to a frame: the virtual addresses that its own page tables map to it.
 *
 * Watchpoints are virtual, page tables are known by physical address. Linux writes its tables through its map of all memory,
 * other systems through a self-map; what is looked for is any writable leaf, so nothing is assumed about the system. Firmware maps its
 * tables read-only and clears CR0.WP to write to them: where no leaf is writable, one that is not is taken.
 */
import { gfnOf, PAGE_BYTES } from '../../../../core/address/pa.ts';
import { vaOf } from '../../../../core/address/va.ts';
import { PtmonError } from '../../../../core/error.ts';
import type { PhysicalMemory } from '../../../../core/memory/physical-memory.ts';
import type { Paging } from '../../../../core/paging/format.ts';
import { type PieceOptions, pieces } from '../../../../core/paging/pieces.ts';
import { RIGHT_USER, RIGHT_WRITABLE } from '../../../../core/paging/rights.ts';
import { Pacer } from '../../../../driver/pacer.ts';

/** Tables of the lower half that may be read again: each is up to 512 aliases, and the guest is stopped meanwhile. */
const PROCESS_REPEATS = 64;

/** Clear, and a supervisor writes to read-only pages, too: SDM vol. 3A, 2.5. */
const CR0_WP = 1n << 16n;

/** What a vCPU has loaded. */
export interface LoadedRoot {
  readonly root: number;
  readonly cr0: bigint;
}

interface Alias {
  readonly gfn: number;
  readonly pages: number;
  readonly va: bigint;
}

export class WritableAliases {
  readonly root: number;
  readonly #supervisor: Alias[] = [];
  readonly #user: Alias[] = [];
  readonly #readOnly: Alias[] = [];
  readonly #known = new Map<number, readonly bigint[]>();
  readonly #isWriteProtected: boolean;

  private constructor({ root, cr0 }: LoadedRoot) {
    this.root = root;
    this.#isWriteProtected = (cr0 & CR0_WP) !== 0n;
  }

  /**
   * What a root maps writable, as far as its tables do not point at each other. Signals and timers have their turn meanwhile: a guest can
   * make this take seconds.
   *
   * @throws PtmonError `not-fetched`, or what the memory throws; the reason of `signal`
   */
  static async of(
    paging: Paging,
    memory: PhysicalMemory,
    loaded: LoadedRoot,
    signal?: AbortSignal,
  ): Promise<WritableAliases> {
    const aliases = new WritableAliases(loaded);
    const pacer = new Pacer(signal === undefined ? {} : { signal });
    // The upper half first and by itself: tables of a process that point at each other do not hide the system's own mappings.
    await aliases.#search(paging, memory, { from: paging.lowEnd }, pacer);
    await aliases.#search(paging, memory, { to: paging.lowEnd, maxRepeats: PROCESS_REPEATS }, pacer);
    return aliases;
  }

  async #search(paging: Paging, memory: PhysicalMemory, part: PieceOptions, pacer: Pacer): Promise<void> {
    try {
      for (const { vpn, gfn, pages, step, rights } of pieces(paging, memory, this.root, part)) {
        if (pacer.isDue) await pacer.turn();
        if (pages === 0) continue;
        const list = this.#listFor(rights);
        // Of pages that all map one frame, the first.
        list.push({ gfn, pages: step === 0 ? 1 : pages, va: vaOf(vpn, 0) });
      }
    } catch (error) {
      // Tables that point at each other: the rest of this half stays unknown.
      if (!(error instanceof PtmonError) || error.code !== 'corrupt-input') throw error;
    }
  }

  #listFor(rights: number): Alias[] {
    if ((rights & RIGHT_WRITABLE) === 0) return this.#readOnly;
    return (rights & RIGHT_USER) === 0 ? this.#supervisor : this.#user;
  }

  /** The root's own frame is writable through it: so it is of a system's own table, not one that shows a process little more than itself. */
  get isComplete(): boolean {
    const gfn = gfnOf(this.root);
    return (this.#isWriteProtected ? this.#writableAt(gfn) : this.find(gfn)).length > 0;
  }

  /** Virtual addresses of a frame, zero-extended: those that only a supervisor can write to, else those that a user can, else read-only ones. */
  find(gfn: number): readonly bigint[] {
    let found = this.#known.get(gfn);
    if (found === undefined) {
      found = this.#writableAt(gfn);
      if (found.length === 0) found = addressesOf(this.#readOnly, gfn);
      this.#known.set(gfn, found);
    }
    return found;
  }

  #writableAt(gfn: number): readonly bigint[] {
    const found = addressesOf(this.#supervisor, gfn);
    // Of a user's mapping the frame may have been taken and given to the tables since.
    return found.length > 0 ? found : addressesOf(this.#user, gfn);
  }
}

function addressesOf(aliases: readonly Alias[], gfn: number): bigint[] {
  return aliases
    .filter((alias) => gfn >= alias.gfn && gfn < alias.gfn + alias.pages)
    .map((alias) => alias.va + BigInt((gfn - alias.gfn) * PAGE_BYTES));
}
