/**
 * Exact watching by a plugin of QEMU: it records each store to a watched page table, and the guest never stops. The events are of a moment a
 * little before now: the memory that the monitor reads is that of the record that was processed last (`tables.ts`).
 */
import { frameOffsetOf, gfnOf, paOf } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';
import type { PhysicalMemory } from '../../../core/memory/physical-memory.ts';
import type { PageProtection } from '../../../core/memory/page-access.ts';
import type { Driver, RegisterAccess, RemoteFetch, SourceEvent } from '../../../driver/driver.ts';
import type { RunningGuest } from '../running-guest.ts';
import type { PluginConnection } from './connection.ts';
import { END, type PluginRecord, SNAPSHOT, TOO_MANY, WRITE } from './protocol.ts';
import { differs, isLater, RecordedTables, type TableContent } from './tables.ts';

/** Writes of a batch at most. */
const MAX_BATCH = 256;
const MAX_LAST_WRITES = 1 << 16;
/** Tables that are compared each time, unless everything may have changed. */
const COMPARED_TABLES = 256;
/** How long the end of a guest may take. */
const END_MS = 1000;
/** How often an unknown loss is reported again. */
const DOUBT_MS = 1000;
const NO_STORE = 'a page table changed without a store that the plugin sees (a device, a snapshot, other code)';

export interface PluginParts {
  readonly guest: RunningGuest;
  readonly connection: PluginConnection;
  readonly code: 'kernel' | 'all';
  readonly entryBytes: 4 | 8;
  /** How often the tables are compared with memory, and a batch is yielded although nothing happens. */
  readonly compareMs: number;
}

export interface PluginStatistics {
  /** Writes to watched tables that were processed. */
  readonly writes: number;
  /** Tables that are recorded now. */
  readonly tables: number;
}

export class QemuPluginDriver implements Driver {
  readonly name = 'qemu';
  readonly memory: PhysicalMemory;
  readonly protection: PageProtection;
  readonly remote: RemoteFetch;
  /** As they were at opening. */
  readonly registers: RegisterAccess;
  /** Whose stores are seen: those of the guest's kernel, or all. */
  readonly code: 'kernel' | 'all';
  /** In a line for people: where the guest's memory is read. */
  readonly memorySource: string;
  readonly #parts: PluginParts;
  readonly #tables: RecordedTables;
  readonly #stop = new AbortController();
  /** The last write to each word of 8 bytes that was written lately, and those before them. */
  #lastWrites = new Map<number, PluginRecord>();
  #formerWrites = new Map<number, PluginRecord>();
  /** Why changes may have gone unseen, to be reported. */
  #doubt: string | undefined;
  /** When which reason was reported last. */
  readonly #reportedMs = new Map<string, number>();
  #writes = 0;
  #compareDueMs = 0;
  /** The guest has ended, and all its writes are processed. */
  #isComplete = false;
  /** Where the next comparison begins. */
  #compared = 0;
  #comparedAtOnce = COMPARED_TABLES;
  /** Words that differed from memory at the last comparison, by frame, and how many writes there were by then. */
  readonly #suspects = new Map<number, readonly number[]>();
  #closed: Promise<void> | undefined;

  /** @internal */
  constructor(parts: PluginParts) {
    const { guest, connection, code, entryBytes } = parts;
    this.#parts = parts;
    this.#tables = new RecordedTables(connection, guest, entryBytes);
    this.memory = this.#tables;
    this.protection = this.#tables;
    this.remote = this.#tables;
    this.memorySource = guest.memory.description;
    this.code = code;
    this.registers = guest.registers;
  }

  get statistics(): PluginStatistics {
    return { writes: this.#writes, tables: [...this.#tables.protectedFrames()].length };
  }

  /** Memory may have changed without a store: compares everything as soon as possible. */
  compareSoon(): void {
    this.#compareDueMs = 0;
    this.#compared = 0;
    this.#comparedAtOnce = Infinity;
  }

  async *run(signal?: AbortSignal): AsyncGenerator<readonly SourceEvent[], void, undefined> {
    const { end } = this.#parts.guest;
    if (this.#closed !== undefined) throw new PtmonError('closed', 'the qemu driver is closed');
    const halt = AbortSignal.any([this.#stop.signal, end.signal, ...(signal === undefined ? [] : [signal])]);
    this.#compareDueMs = performance.now() + this.#parts.compareMs;
    try {
      while (!halt.aborted) {
        const { hasMoved } = this.#tables;
        if (this.#tables.resume()) this.#suspect(NO_STORE);
        const batch = await this.#next(halt);
        if (hasMoved) this.#suspect('a page table changed while it was read');
        if (halt.aborted && batch.length === 0) break;
        yield this.#withDoubt(batch);
      }
    } catch (error) {
      if (!end.isShutDown) throw end.failure ?? error;
    }
    if (end.isShutDown && signal?.aborted !== true && !this.#stop.signal.aborted) yield* this.#last();
    if (end.failure !== undefined) throw end.failure;
  }

  /** What the guest did before it ended. */
  async *#last(): AsyncGenerator<SourceEvent[], void, undefined> {
    const { connection } = this.#parts;
    const halt = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(END_MS)]);
    // QEMU waits for that before it ends.
    connection.receiveAll();
    let isKnown = true;
    for (;;) {
      if (this.#tables.hasMoved) isKnown = false;
      if (this.#tables.resume()) this.#suspect(NO_STORE);
      const batch = this.#batch();
      if (batch.length > 0 || this.#doubt !== undefined) yield this.#withDoubt(batch);
      else if (this.#isComplete || connection.hasEnded || halt.aborted) break;
      else await connection.wait(END_MS, halt);
    }
    if (this.#isComplete && isKnown) return;
    yield [{ kind: 'missed', reason: 'the guest ended before all its writes were processed', lost: null }];
  }

  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    this.#parts.connection.close();
    await this.#parts.guest.close();
  }

  /** The next batch: writes, or none where nothing has happened for a while. */
  async #next(halt: AbortSignal): Promise<SourceEvent[]> {
    const { connection } = this.#parts;
    for (;;) {
      const isDue = performance.now() >= this.#compareDueMs;
      if (isDue) await this.#compare();
      const batch = this.#batch();
      if (isDue || batch.length > 0 || this.#doubt !== undefined || halt.aborted) return batch;
      await connection.wait(Math.max(0, this.#compareDueMs - performance.now()), halt);
    }
  }

  /**
   * Writes that may be processed at once: to entries that lead to no tables, each entry once. The others come alone, since what they change
   * decides about the pages of others.
   */
  #batch(): SourceEvent[] {
    const { connection } = this.#parts;
    const batch: SourceEvent[] = [];
    const entries = new Set<number>();
    for (let record = connection.peek(); record !== undefined; record = connection.peek()) {
      if (record.kind === SNAPSHOT && this.#tables.get(gfnOf(record.pa)) !== undefined && batch.length > 0) break;
      if (record.kind === WRITE) {
        const table = this.#tables.tableOf(record);
        if (table !== undefined && this.#isChange(record, table)) {
          const isAlone = this.#decidesOthers(record, table);
          if (batch.length > 0 && (isAlone || entries.has(record.pa) || entries.size >= MAX_BATCH)) break;
          entries.add(record.pa);
          if (this.#apply(record, table)) batch.push(writeOf(record), { kind: 'commit', vcpu: record.vcpu });
          this.#take(record);
          if (isAlone && batch.length > 0) break;
          continue;
        }
      } else if (record.kind === SNAPSHOT) {
        if (this.#tables.takeSnapshot(record)) this.#suspect(NO_STORE);
      } else if (record.kind === END) {
        this.#isComplete = true;
      } else if (record.kind === TOO_MANY) {
        this.#suspect('an entry leads to more new page tables than the plugin follows at once');
      }
      this.#take(record);
      if (this.#doubt !== undefined) break;
    }
    return batch;
  }

  #take(record: PluginRecord): void {
    this.#parts.connection.take();
    if (record.kind === WRITE) this.#tables.arrived(record);
  }

  /** Whether a write changed its entry. Notes where another write may have hidden it. */
  #isChange(record: PluginRecord, table: TableContent): boolean {
    const { words } = table;
    const word = frameOffsetOf(record.pa) >>> 2;
    if (this.#tables.explain(word, record, table)) this.#suspect(NO_STORE);
    const [lo, hi] = [words[word]!, words[word + 1]!];
    const last = this.#lastWrites.get(record.pa) ?? this.#formerWrites.get(record.pa);
    if (
      last !== undefined &&
      isHidden(record, last) &&
      !differs([record.lo, record.hi], [lo, hi], this.#parts.entryBytes)
    )
      this.#suspect('two vCPUs wrote the same entry at the same moment', { isChanged: false });
    this.#note(record);
    return record.lo !== lo || record.hi !== hi;
  }

  #note(record: PluginRecord): void {
    if (this.registers.vcpuCount === 1) return;
    this.#lastWrites.set(record.pa, record);
    // Older ones do not matter: each vCPU has stored something since.
    if (this.#lastWrites.size <= MAX_LAST_WRITES) return;
    this.#formerWrites = this.#lastWrites;
    this.#lastWrites = new Map();
  }

  #decidesOthers({ lo, hi, pa }: PluginRecord, { words }: TableContent): boolean {
    const word = frameOffsetOf(pa) >>> 2;
    return this.#tables.leadsToTable(lo, hi) || this.#tables.leadsToTable(words[word]!, words[word + 1]!);
  }

  /** @returns whether the monitor must hear of it */
  #apply({ pa, lo, hi }: PluginRecord, table: TableContent): boolean {
    const word = frameOffsetOf(pa) >>> 2;
    table.words[word] = lo;
    table.words[word + 1] = hi;
    if (!this.#tables.isProtected(gfnOf(pa))) return false;
    this.#writes++;
    return true;
  }

  /** Changes may have gone unseen. Where the tables are as they are recorded, it is enough to report that now and then. */
  #suspect(reason: string, { isChanged = true } = {}): void {
    const nowMs = performance.now();
    if (!isChanged && nowMs - (this.#reportedMs.get(reason) ?? -Infinity) < DOUBT_MS) return;
    this.#reportedMs.set(reason, nowMs);
    this.#doubt = reason;
  }

  #withDoubt(batch: SourceEvent[]): SourceEvent[] {
    const reason = this.#doubt;
    this.#doubt = undefined;
    return reason === undefined ? batch : [...batch, { kind: 'missed', reason, lost: null }];
  }

  /**
   * Compares tables with memory. The guest runs, so what differs may be on its way: where the same words differ twice, the plugin copies the
   * table once more, and that copy shows it, unless its vCPU has yet to record it.
   */
  async #compare(): Promise<void> {
    this.#compareDueMs = performance.now() + this.#parts.compareMs;
    const all = [...this.#tables.protectedFrames()];
    if (this.#compared >= all.length) this.#compared = 0;
    const some = all.slice(this.#compared, this.#compared + this.#comparedAtOnce);
    this.#compared += some.length;
    this.#comparedAtOnce = COMPARED_TABLES;
    for (const gfn of new Set([...this.#suspects.keys(), ...some])) {
      const words = this.#tables.isProtected(gfn) ? await this.#tables.differences(gfn) : [];
      const before = this.#suspects.get(gfn);
      if (words.length === 0 || before !== undefined) this.#suspects.delete(gfn);
      else this.#suspects.set(gfn, words);
      const isUnexplained = (this.#tables.get(gfn)?.unexplained.size ?? 0) > 0;
      if (isUnexplained || before?.some((word) => words.includes(word)) === true)
        this.#parts.connection.capturing(paOf(gfn), this.#tables.levelOf(gfn));
    }
  }
}

/**
 * Whether a write may have come between another one and the look at it: the vCPU had not seen that one recorded when it stored before. Then
 * both looks saw the later value, and the second finds no change. Where no second look finds none, each write was seen.
 */
function isHidden(record: PluginRecord, last: PluginRecord): boolean {
  return record.vcpu !== last.vcpu && isLater(last.sequence, record.seen);
}

function writeOf({ pa, vcpu }: PluginRecord): SourceEvent {
  return { kind: 'write', vcpu, view: 0, pa, byteLength: 8 };
}
