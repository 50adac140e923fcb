/**
 * The guest's physical memory: which frame is what, how often it is mapped, and which comes next.
 *
 * Frames freed one by one go onto a short stack before they go back to the buddy zones (the kernel's per-CPU lists), so a
 * frame that was a table a moment ago is soon a data page or another table.
 */
import type { RamRange } from '../../machine/memory-map.ts';
import { HIGH_RAM_GFN } from '../../machine/memory-map.ts';
import { BuddyZone, MAX_ORDER } from './buddy-zone.ts';

export const FRAME_FREE = 0;
/** A page table, or a page of small root tables. */
export const FRAME_TABLE = 1;
/** Private memory of processes. */
export const FRAME_ANON = 2;
/** A page of a file or of shared memory. */
export const FRAME_FILE = 3;
/** The kernel's own data. */
export const FRAME_KERNEL = 4;
/** Never allocated. */
export const FRAME_RESERVED = 5;
export type FrameKind =
  | typeof FRAME_FREE
  | typeof FRAME_TABLE
  | typeof FRAME_ANON
  | typeof FRAME_FILE
  | typeof FRAME_KERNEL
  | typeof FRAME_RESERVED;

/** Frames below 4 GiB that only roots may take (the kernel's lowmem_reserve). */
const LOW_RESERVE = 40;
const HOT_LIMIT = 96;
const HOT_BATCH = 32;

/** One zone with its stack of recently freed frames. */
interface Zone {
  readonly buddies: BuddyZone;
  readonly hot: number[];
  readonly base: number;
  /** Of this zone's first frame in the arrays that cover all zones. */
  readonly offset: number;
}

export class FrameAllocator {
  readonly #low: Zone;
  readonly #high: Zone | undefined;
  readonly #kinds: Uint8Array;
  readonly #references: Uint16Array;
  /** Frames that running actions may still take. */
  #promised = 0;

  constructor(ram: readonly RamRange[]) {
    const lowEnd = ram
      .filter(({ gfn }) => gfn < HIGH_RAM_GFN)
      .reduce((end, one) => Math.max(end, one.gfn + one.frames), 0);
    const high = ram.find(({ gfn }) => gfn >= HIGH_RAM_GFN);
    this.#low = { buddies: new BuddyZone(0, lowEnd), hot: [], base: 0, offset: 0 };
    if (high !== undefined) {
      this.#high = { buddies: new BuddyZone(high.gfn, high.frames), hot: [], base: high.gfn, offset: lowEnd };
    }
    this.#kinds = new Uint8Array(lowEnd + (high?.frames ?? 0)).fill(FRAME_RESERVED);
    this.#references = new Uint16Array(this.#kinds.length);
    // Frame 0 stays reserved: an entry that is mistaken for "frame 0" must not look right.
    for (const { gfn, frames } of ram) this.#release(Math.max(gfn, 1), gfn + frames);
  }

  /** Frames that can still be had one by one, promises not deducted. */
  get free(): number {
    const high = this.#high === undefined ? 0 : freeIn(this.#high);
    return high + Math.max(0, freeIn(this.#low) - LOW_RESERVE);
  }

  /** Sets frames aside for an action that is about to begin. Returns whether there are that many. */
  promise(frames: number): boolean {
    if (this.free - this.#promised < frames) return false;
    this.#promised += frames;
    return true;
  }

  /** The action has ended. */
  keepPromise(frames: number): void {
    this.#promised -= frames;
  }

  /** One frame, referenced once, its content whatever it was; above 4 GiB where possible. */
  take(kind: FrameKind): number {
    const high = this.#high;
    const gfn = high === undefined || freeIn(high) === 0 ? takeOne(this.#low) : takeOne(high);
    return this.#become(gfn, kind);
  }

  /** One frame below 4 GiB: a root that CR3 can name in PAE paging. */
  takeLow(kind: FrameKind): number {
    return this.#become(takeOne(this.#low), kind);
  }

  /** Two neighbouring frames, the first even; below 4 GiB where asked. -1 when memory is too fragmented. */
  takePair(kind: FrameKind, low: boolean): number {
    let gfn = low || this.#high === undefined ? -1 : takeBlock(this.#high, 1);
    if (gfn < 0) gfn = takeBlock(this.#low, 1);
    if (gfn >= 0) for (let n = 0; n < 2; n++) this.#become(gfn + n, kind);
    return gfn;
  }

  /** 2^order aligned frames for a large page, each referenced once; -1 when memory is too fragmented or promised away. */
  takeLarge(kind: FrameKind, order: number): number {
    if (this.free - this.#promised < 2 ** order) return -1;
    let gfn = this.#high === undefined ? -1 : takeBlock(this.#high, order);
    if (gfn < 0 && freeIn(this.#low) - LOW_RESERVE >= 2 ** order) gfn = takeBlock(this.#low, order);
    if (gfn >= 0) for (let n = 0; n < 2 ** order; n++) this.#become(gfn + n, kind);
    return gfn;
  }

  /** One more mapping of the frame. */
  hold(gfn: number): void {
    this.#references[this.#index(gfn)]!++;
  }

  /** One mapping less; the last one frees the frame. */
  drop(gfn: number): void {
    const index = this.#index(gfn);
    if (this.#kinds[index] === FRAME_FREE || this.#references[index] === 0) {
      throw new Error(`frame 0x${gfn.toString(16)} is dropped more often than retained`);
    }
    if (--this.#references[index]! > 0) return;
    this.#kinds[index] = FRAME_FREE;
    const zone = this.#zone(gfn);
    zone.hot.push(gfn);
    if (zone.hot.length > HOT_LIMIT) for (const cold of zone.hot.splice(0, HOT_BATCH)) zone.buddies.give(cold, 0);
  }

  kindOf(gfn: number): FrameKind {
    return (this.#kinds[this.#index(gfn)] ?? FRAME_RESERVED) as FrameKind;
  }

  references(gfn: number): number {
    return this.#references[this.#index(gfn)] ?? 0;
  }

  /** Every frame of this kind, ascending. */
  *ofKind(kind: FrameKind): Generator<number, void, undefined> {
    for (const zone of [this.#low, this.#high]) {
      if (zone === undefined) continue;
      const end = zone === this.#low ? (this.#high?.offset ?? this.#kinds.length) : this.#kinds.length;
      for (let at = zone.offset; at < end; at++) if (this.#kinds[at] === kind) yield zone.base + at - zone.offset;
    }
  }

  #become(gfn: number, kind: FrameKind): number {
    if (gfn < 0) throw new Error('the guest is out of memory: an action took more frames than it was promised');
    const index = this.#index(gfn);
    this.#kinds[index] = kind;
    this.#references[index] = 1;
    return gfn;
  }

  #zone(gfn: number): Zone {
    return this.#high !== undefined && gfn >= HIGH_RAM_GFN ? this.#high : this.#low;
  }

  #index(gfn: number): number {
    const zone = this.#zone(gfn);
    return gfn - zone.base + zone.offset;
  }

  /** Frees the frames from `first` to before `end`, in blocks as large as they can be. */
  #release(first: number, end: number): void {
    for (let gfn = first; gfn < end; ) {
      let order = 0;
      while (order < MAX_ORDER && gfn % 2 ** (order + 1) === 0 && gfn + 2 ** (order + 1) <= end) order++;
      this.#kinds.fill(FRAME_FREE, this.#index(gfn), this.#index(gfn) + 2 ** order);
      this.#zone(gfn).buddies.give(gfn, order);
      gfn += 2 ** order;
    }
  }
}

function freeIn(zone: Zone): number {
  return zone.buddies.free + zone.hot.length;
}

function takeOne(zone: Zone): number {
  return zone.hot.pop() ?? zone.buddies.take(0);
}

function takeBlock(zone: Zone, order: number): number {
  const gfn = zone.buddies.take(order);
  if (gfn >= 0 || zone.hot.length === 0) return gfn;
  for (const frame of zone.hot.splice(0)) zone.buddies.give(frame, 0);
  return zone.buddies.take(order);
}
