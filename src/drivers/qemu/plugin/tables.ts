/**
 * The guest's page tables as they were at the record that was processed last, while the guest runs on. A table that is protected is captured by
 * the plugin: its content, and then each write to it. All other memory is read as it is.
 */
import { frameOffsetOf, gfnOf, PAGE_BYTES, paOf } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';
import { ACCESS_ALL, ACCESS_WRITE, type PageAccess, type PageProtection } from '../../../core/memory/page-access.ts';
import { PageCache } from '../../../core/memory/page-cache.ts';
import {
  type PhysicalMemory,
  READ_NO_MEMORY,
  READ_NOT_FETCHED,
  READ_OK,
  type ReadOutcome,
} from '../../../core/memory/physical-memory.ts';
import type { RemoteFetch } from '../../../driver/driver.ts';
import type { RunningGuest } from '../running-guest.ts';
import type { PluginConnection } from './connection.ts';
import { type PluginRecord, WRITE } from './protocol.ts';

/** Accessed and dirty, in the low word of an entry: the processor sets them by itself. */
const PROCESSORS_OWN = 0x60;
/** A vCPU that was suspended between a store and its record has recorded it by then. */
const UNEXPLAINED_MS = 1000;

/** What a snapshot showed of a word before any write did: the vCPU that stored it may not have recorded it yet. */
interface Unexplained {
  readonly lo: number;
  readonly hi: number;
  readonly sinceMs: number;
}

export interface TableContent {
  readonly words: Uint32Array;
  /** The number of the capture. */
  capture: number;
  /** Its snapshot is still to come in the queue: the writes before that are in the content already. */
  isAhead: boolean;
  /** By word. The content has their values before that. */
  readonly unexplained: Map<number, Unexplained>;
}

export class RecordedTables implements PhysicalMemory, PageProtection, RemoteFetch {
  readonly #connection: PluginConnection;
  readonly #guest: Pick<RunningGuest, 'memory' | 'end'>;
  readonly #entryBytes: 4 | 8;
  readonly #tables = new Map<number, TableContent>();
  /** Frames with another access than all of it. */
  readonly #access = new Map<number, PageAccess>();
  /** Of the tables that are protected, or were since the guest ran last. */
  readonly #levels = new Map<number, number>();
  /** Tables that nothing protects, perhaps. */
  readonly #loose = new Set<number>();
  /** Tables whose content at this moment is not known: the entry that led to them has changed since. */
  readonly #moved = new Set<number>();
  /** vCPUs whose store makes an entry lead to tables: those have arrived, and the write has not. */
  readonly #announcing = new Set<number>();
  readonly #pages = new PageCache();

  constructor(connection: PluginConnection, guest: Pick<RunningGuest, 'memory' | 'end'>, entryBytes: 4 | 8) {
    this.#connection = connection;
    this.#guest = guest;
    this.#entryBytes = entryBytes;
  }

  /** Frames of the tables that are protected. */
  *protectedFrames(): Generator<number> {
    for (const gfn of this.#tables.keys()) if (this.isProtected(gfn)) yield gfn;
  }

  levelOf(gfn: number): number {
    return this.#levels.get(gfn) ?? 1;
  }

  isProtected(gfn: number): boolean {
    return ((this.#access.get(gfn) ?? ACCESS_ALL) & ACCESS_WRITE) === 0;
  }

  get(gfn: number): TableContent | undefined {
    return this.#tables.get(gfn);
  }

  /** Whether the value of an entry leads to a table that is recorded. */
  leadsToTable(lo: number, hi: number): boolean {
    if (this.#entryBytes === 8) return (lo & 1) !== 0 && this.#tables.has((hi & 0xfffff) * 2 ** 20 + (lo >>> 12));
    return [lo, hi].some((entry) => (entry & 1) !== 0 && this.#tables.has(entry >>> 12));
  }

  getAccess(view: number, gfn: number): PageAccess {
    checkView(view);
    return this.#access.get(gfn) ?? ACCESS_ALL;
  }

  setAccess(view: number, gfn: number, access: PageAccess, level = 1): void {
    checkView(view);
    if (access === ACCESS_ALL) this.#access.delete(gfn);
    else this.#access.set(gfn, access);
    if (this.isProtected(gfn)) this.#levels.set(gfn, level);
    else this.#loose.add(gfn);
  }

  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    const gfn = gfnOf(pa);
    const table = this.#tables.get(gfn);
    if (table === undefined) {
      if (this.#moved.has(gfn)) return READ_NO_MEMORY;
      return this.isProtected(gfn) ? READ_NOT_FETCHED : this.#pages.readEntry(pa, byteLength, out);
    }
    const word = frameOffsetOf(pa) >>> 2;
    out[0] = table.words[word]!;
    out[1] = byteLength === 8 ? table.words[word + 1]! : 0;
    return READ_OK;
  }

  async fetch(addresses: readonly number[], signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    const captures: Promise<void>[] = [];
    for (const gfn of new Set(addresses.map(gfnOf))) {
      if (this.#tables.has(gfn)) continue;
      if (this.#levels.has(gfn)) captures.push(this.#capture(gfn, signal));
      else
        this.#pages.put(gfn, (await this.#orMoved(gfn, this.#guest.memory.readBytes(paOf(gfn), PAGE_BYTES))) ?? null);
    }
    await Promise.all(captures);
  }

  /** Content of a captured table: of one that an entry has come to lead to, or one that was captured again. @returns whether it shows a change without a write */
  takeSnapshot(record: PluginRecord): boolean {
    if (record.vcpu > 0) this.#announcing.add(record.vcpu - 1);
    const gfn = gfnOf(record.pa);
    const known = this.#tables.get(gfn);
    if (known === undefined) {
      this.#tables.set(gfn, tableIn(record, { isAhead: false }));
      this.#loose.add(gfn);
      return false;
    }
    if (record.capture === known.capture) known.isAhead = false;
    if (!isLater(record.capture, known.capture)) return false;
    known.capture = record.capture;
    const words = record.words!;
    const { unexplained } = known;
    const nowMs = performance.now();
    const isUnseen = [...unexplained].some(
      ([word, at]) =>
        nowMs - at.sinceMs > UNEXPLAINED_MS ||
        differs([words[word]!, words[word + 1]!], [at.lo, at.hi], this.#entryBytes),
    );
    if (isUnseen) unexplained.clear();
    if (isUnseen || !this.isProtected(gfn)) {
      known.words.set(words);
      return isUnseen;
    }
    for (const word of differsIn(known.words, words, this.#entryBytes)) {
      const [lo, hi] = [words[word]!, words[word + 1]!];
      if (!unexplained.has(word)) unexplained.set(word, { lo, hi, sinceMs: nowMs });
    }
    return false;
  }

  /** A write to a word came. @returns whether it does not explain what a snapshot showed */
  explain(word: number, { lo, hi }: PluginRecord, { unexplained }: TableContent): boolean {
    const shown = unexplained.get(word);
    return unexplained.delete(word) && differs([lo, hi], [shown!.lo, shown!.hi], this.#entryBytes);
  }

  /** @returns the table that a write is to, undefined where it is not recorded or the write is in its content already */
  tableOf({ pa }: PluginRecord): TableContent | undefined {
    const table = this.#tables.get(gfnOf(pa));
    return table?.isAhead === true ? undefined : table;
  }

  /** A write is taken from the queue: the tables that it announced are protected before the guest runs on, or not needed. */
  arrived({ vcpu }: PluginRecord): void {
    this.#announcing.delete(vcpu);
  }

  /** The guest runs on: what was read of other memory is old, and tables that nothing protects are released. @returns whether one of those changed without a write */
  resume(): boolean {
    this.#pages.clear();
    this.#moved.clear();
    if (this.#announcing.size > 0) return false;
    let isUnseen = false;
    for (const gfn of this.#loose) {
      const table = this.#tables.get(gfn);
      // Its snapshot would bring it back, and the plugin would not record it.
      if (table?.isAhead === true) continue;
      this.#loose.delete(gfn);
      if (this.isProtected(gfn)) continue;
      this.#levels.delete(gfn);
      if (table === undefined) continue;
      this.#tables.delete(gfn);
      this.#connection.release(paOf(gfn), table.capture);
      isUnseen ||= table.unexplained.size > 0;
    }
    return isUnseen;
  }

  /** Words of a protected table that differ from the guest's memory as it is now, but for what the processor sets. */
  async differences(gfn: number): Promise<readonly number[]> {
    const table = this.#tables.get(gfn);
    const bytes = await this.#guest.memory.readBytes(paOf(gfn), PAGE_BYTES);
    if (table === undefined || bytes === undefined) return [];
    const now = new Uint32Array(PAGE_BYTES / 4);
    new Uint8Array(now.buffer).set(bytes);
    return differsIn(table.words, now, this.#entryBytes);
  }

  /** What can be read no more, since the guest has ended, is not known. */
  async #orMoved<Content>(gfn: number, reading: Promise<Content>): Promise<Content | undefined> {
    try {
      return await reading;
    } catch (error) {
      if (!this.#guest.end.isShutDown) throw error;
      this.#moved.add(gfn);
      return undefined;
    }
  }

  async #capture(gfn: number, signal: AbortSignal | undefined): Promise<void> {
    const record = await this.#orMoved(gfn, this.#connection.capture(paOf(gfn), this.levelOf(gfn), signal));
    // The queue has come to it already.
    if (record !== undefined && record.capture === this.#tables.get(gfn)?.capture) return;
    if (record === undefined || this.#leavesBefore(gfn, record)) {
      this.#moved.add(gfn);
      return;
    }
    this.#tables.set(gfn, tableIn(record, { isAhead: true }));
    if (!this.isProtected(gfn)) this.#loose.add(gfn);
  }

  /**
   * Whether a write that is still to be processed takes away an entry that leads to the table now: the table may have been something else when
   * it was captured.
   */
  #leavesBefore(gfn: number, captured: PluginRecord): boolean {
    return this.#connection.pending().some((record) => {
      if (record.kind !== WRITE || isLater(record.sequence, captured.sequence)) return false;
      const words = this.tableOf(record)?.words;
      if (words === undefined) return false;
      const word = frameOffsetOf(record.pa) >>> 2;
      const leads = (lo: number, hi: number) => leadsTo(lo, hi, gfn, this.#entryBytes);
      return leads(words[word]!, words[word + 1]!) && !leads(record.lo, record.hi);
    });
  }

  /** Tables that could not be read at this moment. */
  get hasMoved(): boolean {
    return this.#moved.size > 0;
  }
}

function tableIn({ words, capture }: PluginRecord, { isAhead }: { readonly isAhead: boolean }): TableContent {
  return { words: words!, capture, isAhead, unexplained: new Map() };
}

/** Numbers of 32 bits that wrap around. */
export function isLater(a: number, b: number): boolean {
  return ((a - b) | 0) > 0;
}

/** Whether two values of 8 bytes differ in more than what the processor sets. */
export function differs(
  [lo, hi]: readonly [number, number],
  [oldLo, oldHi]: readonly [number, number],
  entryBytes: 4 | 8,
): boolean {
  const own = entryBytes === 8 ? 0 : PROCESSORS_OWN;
  return ((lo ^ oldLo) & ~PROCESSORS_OWN) !== 0 || ((hi ^ oldHi) & ~own) !== 0;
}

function leadsTo(lo: number, hi: number, gfn: number, entryBytes: 4 | 8): boolean {
  if (entryBytes === 8) return (lo & 1) !== 0 && (hi & 0xfffff) * 2 ** 20 + (lo >>> 12) === gfn;
  return [lo, hi].some((entry) => (entry & 1) !== 0 && entry >>> 12 === gfn);
}

function differsIn(words: Uint32Array, now: Uint32Array, entryBytes: 4 | 8): number[] {
  const found: number[] = [];
  for (let word = 0; word < words.length; word += 2) {
    if (words[word] === now[word] && words[word + 1] === now[word + 1]) continue;
    if (differs([now[word]!, now[word + 1]!], [words[word]!, words[word + 1]!], entryBytes)) found.push(word);
  }
  return found;
}

function checkView(view: number): void {
  if (view !== 0) throw new PtmonError('no-such-view', `view ${view} does not exist: QEMU has one`, { view });
}
