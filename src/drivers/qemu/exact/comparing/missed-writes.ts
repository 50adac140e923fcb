/**
 * Notices writes of which no watchpoint told.
 *
 * A watchpoint that is accepted need not fire: some nested hosts lose debug registers, KVM emulates writes where it shadows page tables,
 * and another debugger may have taken them away. So what is watched is compared at least once a second as well: while the guest runs,
 * if its memory can be read then, else in a short stop.
 */
import { READ_OK, type PhysicalMemory } from '../../../../core/memory/physical-memory.ts';

/** From one comparison to the next. */
const CHECK_MS = 800;
/** So many values are noted at each stop; more only after a comparison, since reading them takes time. */
const NOTED_AT_EACH_STOP = 16;
/**
 * How long a stop may take to come from a write that is already in memory. A guest that is stopped for a comparison in between hides what
 * the watchpoint had to say.
 */
const GRACE_MS = 300;
/** From one comparison to the next once watchpoints are given up. */
const SAMPLE_MS = 100;
/** How many comparisons may find changes that no stop told of. */
const MAX_MISSES = 3;

/** Bits that the processor sets without a stop: accessed and dirty. SDM vol. 3A, 4.8. */
const SET_BY_PROCESSOR = 0x60;

/** What the user is told: changes came without a stop, or the watch goes on by samples. */
export type MissedWritesNotice =
  | { readonly kind: 'unreported'; readonly events: number }
  | { readonly kind: 'sampling'; readonly why: string };

/** The memory of a guest that may run; what was read is kept until `clear`. */
interface ReadableMemory {
  readonly memory: PhysicalMemory;
  clear(): void;
}

/** Values of entries, two words each. */
interface Baseline {
  readonly entries: Float64Array;
  readonly byteLength: 4 | 8;
  readonly words: Uint32Array;
}

export class MissedWrites {
  readonly #source: ReadableMemory;
  readonly #say: (notice: MissedWritesNotice) => void;
  #misses = 0;
  /** The last stop added one of them. */
  #hasJustMissed = false;
  #hasSaid = false;
  #isSampling = false;
  #baseline: Baseline | undefined;

  constructor(source: ReadableMemory, say: (notice: MissedWritesNotice) => void) {
    this.#source = source;
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
    this.#hasJustMissed = true;
    if (this.#misses >= MAX_MISSES)
      this.giveUp(`${this.#misses} comparisons found changes that no watchpoint reported`);
  }

  /**
   * The guest has stopped. Where a watchpoint stops it right after a comparison, the comparison was too early: it found the write of which
   * that watchpoint was about to tell. A host that is busy holds QEMU up for longer than the time that is given to it.
   */
  stopped(isByWatchpoint: boolean): void {
    if (this.#hasJustMissed && isByWatchpoint) this.#misses--;
    this.#hasJustMissed = false;
  }

  /** From now on the guest is sampled. */
  giveUp(why: string): void {
    if (this.#isSampling) return;
    this.#isSampling = true;
    this.#baseline = undefined;
    this.#say({ kind: 'sampling', why });
  }

  /** Whether it takes little to note so many values. */
  isCheapToNote(entries: number): boolean {
    return entries <= NOTED_AT_EACH_STOP;
  }

  /** Notes what the entries are, while the guest is stopped and the monitor knows them. */
  note(entries: Float64Array, byteLength: 4 | 8): void {
    const words = new Uint32Array(2 * entries.length);
    this.#baseline = this.#read(entries, byteLength, words) ? { entries, byteLength, words } : undefined;
  }

  /** What was noted is old. */
  forget(): void {
    this.#baseline = undefined;
  }

  /**
   * Compares from now on, while the guest runs.
   *
   * @param onDue called each time that the guest has to be stopped for the monitor to compare
   * @returns what begins that anew, when the guest has stopped and runs on, and what ends it
   */
  watch(onDue: () => void): { restart(now?: number): void; end(): void } {
    let confirmation: NodeJS.Timeout | undefined;
    let timer: NodeJS.Timeout;
    let dueMs = 0;
    const confirm = () => {
      confirmation = undefined;
      if (this.compare() !== 'same') onDue();
    };
    const check = () => {
      const leftMs = dueMs - performance.now();
      timer = setTimeout(check, leftMs > 0 ? leftMs : this.intervalMs);
      if (leftMs > 0 || confirmation !== undefined) return;
      const outcome = this.compare();
      if (outcome === 'unknown') onDue();
      if (outcome === 'different') confirmation = setTimeout(confirm, GRACE_MS);
    };
    // A timer is not set anew at each of thousands of stops a second.
    const restart = (now = performance.now()) => {
      dueMs = now + this.intervalMs;
      if (confirmation !== undefined) clearTimeout(confirmation);
      confirmation = undefined;
    };
    restart();
    timer = setTimeout(check, this.intervalMs);
    return {
      restart,
      end: () => {
        clearTimeout(timer);
        clearTimeout(confirmation);
        // The guest has been stopped, so what was noted may be old.
        this.#baseline = undefined;
      },
    };
  }

  /** Whether the entries are as they were noted, while the guest runs; `unknown` where they were not, or cannot be read. */
  compare(): 'same' | 'different' | 'unknown' {
    const noted = this.#baseline;
    if (noted === undefined) return 'unknown';
    this.#source.clear();
    const words = new Uint32Array(noted.words.length);
    if (!this.#read(noted.entries, noted.byteLength, words)) return 'unknown';
    return words.some((word, at) => word !== noted.words[at]) ? 'different' : 'same';
  }

  /** Returns whether all of them could be read. */
  #read(entries: Float64Array, byteLength: 4 | 8, words: Uint32Array): boolean {
    const entry = new Uint32Array(2);
    try {
      for (const [at, pa] of entries.entries()) {
        if (this.#source.memory.readEntry(pa, byteLength, entry) !== READ_OK) return false;
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
