/**
 * Notices writes of which no watchpoint told.
 *
 * A watchpoint that is accepted need not fire: some nested hosts lose debug registers, KVM emulates writes where it shadows page tables,
 * and another debugger may have taken them away. So what is watched is compared at least once a second as well: while the guest runs,
 * if its memory can be read then, else in a short stop.
 */
import { READ_OK, type PhysicalMemory } from '../../../core/memory/physical-memory.ts';

/** From one comparison to the next. */
const CHECK_MS = 800;
/** The same once watchpoints are given up. */
const SAMPLE_MS = 100;
/** How many comparisons may find changes that no stop told of. */
const MAX_MISSES = 3;

/** Bits that the processor sets without a stop: accessed and dirty. SDM vol. 3A, 4.8. */
const SET_BY_PROCESSOR = 0x60;

/** What the user is told: changes came without a stop, or the watch goes on by samples. */
export type MissedWritesNotice =
  | { readonly kind: 'unreported'; readonly events: number }
  | { readonly kind: 'sampling'; readonly why: string };

/** Values of entries, two words each. */
interface Baseline {
  readonly entries: Float64Array;
  readonly byteLength: 4 | 8;
  readonly words: Uint32Array;
}

export class MissedWrites {
  readonly #memory: PhysicalMemory;
  readonly #say: (notice: MissedWritesNotice) => void;
  #misses = 0;
  #hasSaid = false;
  #isSampling = false;
  #baseline: Baseline | undefined;

  /** @param memory as it is now, while the guest runs as well */
  constructor(memory: PhysicalMemory, say: (notice: MissedWritesNotice) => void) {
    this.#memory = memory;
    this.#say = say;
  }

  /** Whether watchpoints are given up. */
  get isSampling(): boolean {
    return this.#isSampling;
  }

  /** Milliseconds from one comparison to the next. */
  get intervalMs(): number {
    return this.#isSampling ? SAMPLE_MS : CHECK_MS;
  }

  /**
   * A comparison found what should have stopped the guest.
   *
   * @param isQuiet no watchpoint had stopped the guest for a while. At the stop of one, what another should have told of may be the same
   *   instruction's doing (a wide store, a fast string operation), which is no reason to give them up
   */
  missed(events: number, isQuiet: boolean): void {
    if (this.#isSampling) return;
    if (!this.#hasSaid) this.#say({ kind: 'unreported', events });
    this.#hasSaid = true;
    if (!isQuiet) return;
    this.#misses++;
    if (this.#misses >= MAX_MISSES)
      this.giveUp(`${this.#misses} comparisons found changes of which no watchpoint told`);
  }

  /** From now on the guest is sampled. */
  giveUp(why: string): void {
    if (this.#isSampling) return;
    this.#isSampling = true;
    this.#baseline = undefined;
    this.#say({ kind: 'sampling', why });
  }

  /** Notes what the entries are, while the guest is stopped and the monitor knows them. */
  note(entries: Float64Array, byteLength: 4 | 8): void {
    const words = new Uint32Array(2 * entries.length);
    this.#baseline = this.#read(entries, byteLength, words) ? { entries, byteLength, words } : undefined;
  }

  /** The guest has been stopped, so what was noted may be old. */
  forget(): void {
    this.#baseline = undefined;
  }

  /** Whether the monitor has to compare; false where no entry differs from what was noted. */
  isDue(): boolean {
    const noted = this.#baseline;
    if (noted === undefined) return true;
    const words = new Uint32Array(noted.words.length);
    if (!this.#read(noted.entries, noted.byteLength, words)) return true;
    return words.some((word, at) => word !== noted.words[at]);
  }

  /** Returns whether all of them could be read. */
  #read(entries: Float64Array, byteLength: 4 | 8, words: Uint32Array): boolean {
    const entry = new Uint32Array(2);
    try {
      for (const [at, pa] of entries.entries()) {
        if (this.#memory.readEntry(pa, byteLength, entry) !== READ_OK) return false;
        words[2 * at] = entry[0]! & ~SET_BY_PROCESSOR;
        words[2 * at + 1] = entry[1]!;
      }
      return true;
    } catch {
      // A source that fails is reported where the guest is stopped and everything is compared.
      return false;
    }
  }
}
