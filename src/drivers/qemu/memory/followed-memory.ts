/**
 * Guest memory whose map may change while the guest is watched: QEMU plugs RAM in and out (`device_add pc-dimm`, virtio-mem). Where an
 * entry leads outside the map, the map is read again before the address counts as no memory. So it is where QEMU says that it has deleted
 * a device: another DIMM at the same addresses has other memory.
 */
import { gfnOf } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';
import {
  type PhysicalMemory,
  READ_NO_MEMORY,
  READ_NOT_FETCHED,
  type ReadOutcome,
} from '../../../core/memory/physical-memory.ts';
import type { RemoteFetch } from '../../../driver/driver.ts';
import { type RamRegion, RamRegions } from '../../ramfile/index.ts';
import { type GuestMemory, type GuestMemoryKind, type GuestMemoryOptions, openGuestMemory } from './open-memory.ts';

/** How long a frame outside the map counts as no memory, at least. Reading the map takes QEMU some milliseconds. */
const BELIEVED_MS = 1000;

/** @throws PtmonError as `openGuestMemory` */
export async function openFollowedMemory(options: GuestMemoryOptions): Promise<FollowedMemory> {
  return new FollowedMemory(await openGuestMemory(options), options);
}

export class FollowedMemory implements GuestMemory, PhysicalMemory, RemoteFetch {
  readonly memory: PhysicalMemory = this;
  readonly remote: RemoteFetch = this;
  readonly #options: GuestMemoryOptions;
  #now: GuestMemory;
  /** The map of `#now`. */
  #ram: RamRegions;
  /** Frames that were outside the map when it was read last. */
  readonly #outside = new Set<number>();
  readonly #unsubscribe: () => void;
  #readMs = performance.now();
  /** A device was plugged out since the map was read. */
  #isStale = false;
  #unreadable: string | undefined;

  constructor(opened: GuestMemory, options: GuestMemoryOptions) {
    this.#now = opened;
    this.#ram = new RamRegions(opened.regions);
    this.#options = options;
    this.#unsubscribe = options.qmp.subscribe(({ name }) => {
      if (name === 'DEVICE_DELETED') this.#isStale = true;
    });
  }

  get kind(): GuestMemoryKind {
    return this.#now.kind;
  }

  get description(): string {
    return this.#now.description;
  }

  get regions(): readonly RamRegion[] {
    return this.#now.regions;
  }

  get unreadable(): string | undefined {
    return this.#unreadable;
  }

  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    if (this.#isStale) return READ_NOT_FETCHED;
    const outcome = this.#now.memory.readEntry(pa, byteLength, out);
    return outcome === READ_NO_MEMORY && !this.#outside.has(gfnOf(pa)) ? READ_NOT_FETCHED : outcome;
  }

  stillHolds(entries: Iterable<number>, byteLength: 4 | 8): boolean {
    return this.#now.memory.stillHolds?.(entries, byteLength) ?? true;
  }

  /** @throws PtmonError as `openGuestMemory`, and as the stub's `fetch` */
  async fetch(addresses: readonly number[], signal?: AbortSignal): Promise<void> {
    if (this.#isStale || addresses.some((pa) => this.#mayBeNew(pa))) await this.#readMap();
    for (const pa of addresses) if (!this.#isRam(pa)) this.#outside.add(gfnOf(pa));
    await this.#now.remote?.fetch(addresses, signal);
  }

  async readBytes(pa: number, byteLength: number): Promise<Uint8Array | undefined> {
    if (this.#isStale) await this.#readMap();
    const bytes = await this.#now.readBytes(pa, byteLength);
    if (bytes !== undefined || !this.#mayBeNew(pa)) return bytes;
    await this.fetch([pa]);
    return this.#now.readBytes(pa, byteLength);
  }

  check(): void {
    this.#now.check();
  }

  /** As `check`, where RAM may have been plugged out and its file removed. @throws PtmonError as `check` */
  async follow(): Promise<void> {
    if (this.#isStale) await this.#readMap();
    try {
      this.check();
    } catch (error) {
      const { regions, kind } = this;
      await this.#readMap();
      // Another way into the same RAM is no change of the map: the file of RAM that is still there is damaged.
      if (this.regions === regions || this.kind !== kind) throw error;
    }
  }

  clear(): void {
    this.#now.clear();
    if (this.#outside.size > 0 && performance.now() - this.#readMs > BELIEVED_MS) this.#outside.clear();
  }

  forget(gfn: number): void {
    this.#now.forget?.(gfn);
  }

  close(): Promise<void> {
    this.#unsubscribe();
    return this.#now.close();
  }

  #mayBeNew(pa: number): boolean {
    return !this.#outside.has(gfnOf(pa)) && !this.#isRam(pa);
  }

  #isRam(pa: number): boolean {
    return this.#ram.find(pa) !== undefined;
  }

  /** Opens the memory anew where the map has changed. */
  async #readMap(): Promise<void> {
    this.#readMs = performance.now();
    this.#outside.clear();
    const isStale = this.#isStale;
    this.#isStale = false;
    const opened = await this.#open();
    if (opened === undefined) return;
    if (!isStale && isSameMap(opened.regions, this.regions)) return opened.close();
    const before = this.#now;
    this.#now = opened;
    this.#ram = new RamRegions(opened.regions);
    await before.close();
  }

  /** Undefined where RAM was plugged in that cannot be read. */
  async #open(): Promise<GuestMemory | undefined> {
    try {
      const opened = await openGuestMemory(this.#options);
      this.#unreadable = undefined;
      return opened;
    } catch (error) {
      if (!(error instanceof PtmonError) || error.code !== 'source-unavailable') throw error;
      this.#unreadable = `the guest has RAM that cannot be read: ${error.message}`;
      return undefined;
    }
  }
}

/** Positions are not compared: those of a process move when QEMU does. */
function isSameMap(a: readonly RamRegion[], b: readonly RamRegion[]): boolean {
  return (
    a.length === b.length && a.every(({ pa, byteLength }, at) => b[at]!.pa === pa && b[at]!.byteLength === byteLength)
  );
}
