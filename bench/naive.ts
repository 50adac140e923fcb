/**
 * The obvious monitor: a map from each entry, by name, to the set of addresses that are translated
 * through it, and a new walk of each when the entry changes. It is right for the work of the benchmark (long mode,
 * one view, every address watched once); it is here to be compared with.
 */
import type { Pa } from '../src/core/address/types.ts';
import { ACCESS_WRITE, type PageProtection } from '../src/core/memory/page-access.ts';
import { type PhysicalMemory, READ_OK } from '../src/core/memory/physical-memory.ts';
import type { Cause, MonitorEvent, Tag } from '../src/core/monitor/events.ts';
import type { Engine } from './engine.ts';

interface Watched {
  readonly root: number;
  readonly va: bigint;
  readonly tags: Tag[];
  /** Names of the entries of its walk, root first. */
  walk: string[];
  backing: { readonly pa: number; readonly pageSize: number } | null;
}

interface Entry {
  readonly pa: number;
  readonly level: number;
  value: bigint;
  readonly watchers: Set<Watched>;
}

const PRESENT = 1n;
const LARGE = 0x80n;
const ADDRESS = 0xf_ffff_ffff_f000n;

const addressKey = (root: number, va: bigint) => `${root.toString(16)}:${va.toString(16)}`;
const entryKey = (pa: number) => pa.toString(16);
const gfnOf = (pa: number) => Math.floor(pa / 4096);

export class NaiveMonitor implements Engine {
  readonly #memory: PhysicalMemory;
  readonly #protection: PageProtection;
  readonly #levels: number;
  readonly #watched = new Map<string, Watched>();
  readonly #entries = new Map<string, Entry>();
  /** For each protected frame, how many of its entries are watched, and the access that was taken from it. */
  readonly #tables = new Map<number, { entries: number; readonly access: number }>();
  readonly #dirty = new Map<number, Set<string>>();
  readonly #out = new Uint32Array(2);

  constructor(memory: PhysicalMemory, protection: PageProtection, levels: 4 | 5) {
    this.#memory = memory;
    this.#protection = protection;
    this.#levels = levels;
  }

  monitor({ root, va, tag }: { readonly root: number; readonly va: bigint; readonly tag: Tag }): void {
    const watched: Watched = { root, va, tags: [tag], walk: [], backing: null };
    this.#watched.set(addressKey(root, va), watched);
    this.#walkAgain(watched);
  }

  monitorRange(request: {
    readonly root: number;
    readonly va: bigint;
    readonly byteLength: number;
    readonly tag: Tag;
  }): void {
    for (let done = 0; done < request.byteLength; done += 4096) {
      this.monitor({ root: request.root, va: request.va + BigInt(done), tag: request.tag });
    }
  }

  unmonitor({ root, va }: { readonly root: number; readonly va: bigint }): boolean {
    const key = addressKey(root, va);
    const watched = this.#watched.get(key);
    if (watched === undefined) return false;
    this.#watched.delete(key);
    for (const entry of watched.walk) this.#leave(entry, watched);
    return true;
  }

  markDirtyEntry(pa: number, _view: number, vcpu: number): boolean {
    const key = entryKey(pa);
    if (!this.#entries.has(key)) return false;
    const dirty = this.#dirty.get(vcpu) ?? new Set();
    this.#dirty.set(vcpu, dirty.add(key));
    return true;
  }

  processDirtyEntries(vcpu: number): MonitorEvent[] {
    const dirty = this.#dirty.get(vcpu) ?? new Set();
    this.#dirty.delete(vcpu);
    return this.#compare(dirty, vcpu);
  }

  resync(): MonitorEvent[] {
    return this.#compare(this.#entries.keys(), null);
  }

  monitoredEntries(): number {
    return this.#entries.size;
  }

  #compare(keys: Iterable<string>, vcpu: number | null): MonitorEvent[] {
    const events: MonitorEvent[] = [];
    for (const key of keys) {
      const entry = this.#entries.get(key);
      if (entry === undefined) continue;
      const newValue = this.#read(entry.pa) ?? 0n;
      if (newValue === entry.value) continue;
      const cause = { entryPa: entry.pa as Pa, level: entry.level, oldValue: entry.value, newValue };
      entry.value = newValue;
      for (const watched of entry.watchers) this.#follow(watched, vcpu, cause, events);
    }
    return events;
  }

  #follow(watched: Watched, vcpu: number | null, cause: Cause, events: MonitorEvent[]): void {
    const before = watched.backing;
    this.#walkAgain(watched);
    const after = watched.backing;
    if (before?.pa === after?.pa) return;
    const { root, va, tags } = watched;
    const base = { view: 0, root: root as Pa, va, pages: 1, tags: [...tags], vcpu, cause };
    if (before !== null) events.push({ kind: 'page-out', ...base, ...before, pa: before.pa as Pa });
    if (after !== null) events.push({ kind: 'page-in', ...base, ...after, pa: after.pa as Pa });
  }

  #walkAgain(watched: Watched): void {
    const walk: string[] = [];
    watched.backing = null;
    let table = watched.root;
    for (let level = this.#levels; level > 0; level--) {
      const shift = BigInt(12 + 9 * (level - 1));
      const pa = table + Number((watched.va >> shift) & 511n) * 8;
      const value = this.#read(pa);
      if (value === undefined) break;
      const key = entryKey(pa);
      walk.push(key);
      this.#entryAt(key, pa, level, value).watchers.add(watched);
      if ((value & PRESENT) === 0n) break;
      if (level === 1 || (value & LARGE) !== 0n) {
        const within = (1n << shift) - 1n;
        watched.backing = {
          pa: Number((value & ADDRESS & ~within) | (watched.va & within)),
          pageSize: Number(within + 1n),
        };
        break;
      }
      table = Number(value & ADDRESS);
    }
    for (const key of watched.walk) if (!walk.includes(key)) this.#leave(key, watched);
    watched.walk = walk;
  }

  #entryAt(key: string, pa: number, level: number, value: bigint): Entry {
    let entry = this.#entries.get(key);
    if (entry === undefined) {
      entry = { pa, level, value, watchers: new Set() };
      this.#entries.set(key, entry);
      this.#protect(gfnOf(pa));
    }
    return entry;
  }

  #leave(key: string, watched: Watched): void {
    const entry = this.#entries.get(key)!;
    entry.watchers.delete(watched);
    if (entry.watchers.size > 0) return;
    this.#entries.delete(key);
    this.#unprotect(gfnOf(entry.pa));
  }

  #protect(gfn: number): void {
    const table = this.#tables.get(gfn);
    if (table !== undefined) {
      table.entries++;
      return;
    }
    const access = this.#protection.getAccess(0, gfn);
    this.#tables.set(gfn, { entries: 1, access });
    this.#protection.setAccess(0, gfn, access & ~ACCESS_WRITE);
  }

  #unprotect(gfn: number): void {
    const table = this.#tables.get(gfn)!;
    table.entries--;
    if (table.entries > 0) return;
    this.#tables.delete(gfn);
    this.#protection.setAccess(0, gfn, table.access);
  }

  #read(pa: number): bigint | undefined {
    if (this.#memory.readEntry(pa, 8, this.#out) !== READ_OK) return undefined;
    return (BigInt(this.#out[1]!) << 32n) | BigInt(this.#out[0]!);
  }
}
