/**
 * The frames that a trace follows: what it says that they hold, kept here to tell what has changed since.
 *
 * Between two runs of the guest each frame is read once, whole. So every reader gets what the trace has, even
 * where the guest runs on meanwhile.
 */
import { frameOffsetOf, gfnOf, paOf } from '../../../core/address/pa.ts';
import {
  type PhysicalMemory,
  READ_NO_MEMORY,
  READ_NOT_FETCHED,
  READ_OK,
  type ReadOutcome,
} from '../../../core/memory/physical-memory.ts';
import { FRAME_SLOTS, type SlotChange } from '../format/records.ts';

interface Frame {
  /** Null where there is no RAM. */
  words: Uint32Array | null;
  /** The standstill in which it was read last. */
  readIn: number;
}

/** What has become of the frames since it was last asked. */
export interface FrameNews {
  /** New ones, and what they hold; null where there is no RAM. */
  readonly appeared: readonly (readonly [gfn: number, words: Uint32Array | null])[];
  readonly changes: readonly SlotChange[];
  readonly left: readonly number[];
}

export class FollowedFrames implements PhysicalMemory {
  readonly #memory: PhysicalMemory;
  readonly #frames = new Map<number, Frame>();
  readonly #scratch = new Uint32Array(2 * FRAME_SLOTS);
  readonly #entry = new Uint32Array(2);
  #standstill = 0;
  #appeared = new Set<number>();
  #changes: SlotChange[] = [];
  // The frame read last: entries are read in runs.
  #lastGfn = -1;
  #last: Frame | undefined;

  constructor(memory: PhysicalMemory) {
    this.#memory = memory;
  }

  get hasNews(): boolean {
    return this.#appeared.size > 0 || this.#changes.length > 0;
  }

  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    const gfn = gfnOf(pa);
    if (gfn !== this.#lastGfn || this.#last === undefined) {
      const outcome = this.refresh(gfn);
      if (outcome === READ_NOT_FETCHED) return outcome;
      this.#last = this.#frames.get(gfn);
      this.#lastGfn = gfn;
    }
    const words = this.#last?.words ?? null;
    if (words === null) return READ_NO_MEMORY;
    const word = frameOffsetOf(pa) >>> 2;
    out[0] = words[word]!;
    out[1] = byteLength === 8 ? words[word + 1]! : 0;
    return READ_OK;
  }

  stillHolds(entries: Iterable<number>, byteLength: 4 | 8): boolean {
    const holds = this.#memory.stillHolds?.(entries, byteLength) ?? true;
    if (!holds) this.expire();
    return holds;
  }

  /** Of all frames that are followed. */
  numbers(): Iterable<number> {
    return this.#frames.keys();
  }

  has(gfn: number): boolean {
    return this.#frames.has(gfn);
  }

  /** The guest runs on: all may be different. */
  expire(): void {
    this.#standstill++;
    this.#last = undefined;
  }

  /** Reads a frame, unless that was done since the guest stopped. @throws what the memory throws; nothing has changed then */
  refresh(gfn: number): ReadOutcome {
    const frame = this.#frames.get(gfn);
    if (frame?.readIn === this.#standstill) return frame.words === null ? READ_NO_MEMORY : READ_OK;
    const outcome = this.#readWhole(gfn);
    if (outcome === READ_NOT_FETCHED) return outcome;
    const isThere = outcome === READ_OK;
    if (frame === undefined || (frame.words !== null) !== isThere) {
      const words = isThere ? this.#scratch.slice() : null;
      this.#frames.set(gfn, { words, readIn: this.#standstill });
      this.#appeared.add(gfn);
    } else {
      if (frame.words !== null) this.#compare(gfn, frame.words);
      frame.readIn = this.#standstill;
    }
    return outcome;
  }

  /**
   * What has changed; frames that were neither read since the guest stopped nor are monitored are dropped.
   *
   * @param isMonitored whether a caller watches a frame's changes
   */
  takeNews(isMonitored: (gfn: number) => boolean): FrameNews {
    const left: number[] = [];
    for (const [gfn, { readIn }] of this.#frames) {
      if (readIn !== this.#standstill && !isMonitored(gfn)) left.push(gfn);
    }
    for (const gfn of left) this.#frames.delete(gfn);
    const news = {
      appeared: [...this.#appeared].map((gfn) => [gfn, this.#frames.get(gfn)?.words ?? null] as const),
      changes: this.#changes,
      left,
    };
    this.#appeared = new Set();
    this.#changes = [];
    return news;
  }

  #readWhole(gfn: number): ReadOutcome {
    for (let slot = 0; slot < FRAME_SLOTS; slot++) {
      const outcome = this.#memory.readEntry(paOf(gfn, slot * 8), 8, this.#entry);
      if (outcome !== READ_OK) return outcome;
      this.#scratch[2 * slot] = this.#entry[0]!;
      this.#scratch[2 * slot + 1] = this.#entry[1]!;
    }
    return READ_OK;
  }

  #compare(gfn: number, words: Uint32Array): void {
    const now = this.#scratch;
    for (let word = 0; word < words.length; word += 2) {
      if (words[word] === now[word] && words[word + 1] === now[word + 1]) continue;
      words[word] = now[word]!;
      words[word + 1] = now[word + 1]!;
      this.#changes.push({ pa: paOf(gfn, word * 4), lo: now[word]!, hi: now[word + 1]! });
    }
  }
}
