/** Makes the records of a session: instant by instant, each with all that memory showed and all that was done then. */
import { gfnOf } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';
import { READ_NOT_FETCHED } from '../../../core/memory/physical-memory.ts';
import type { PhysicalMemory } from '../../../core/memory/physical-memory.ts';
import type { PagingRegisters, SourceEvent } from '../../../driver/driver.ts';
import type {
  EventName,
  EventNames,
  EventOwner,
  ReadSource,
  SessionBeginning,
  SessionEnd,
  SessionRecorder,
} from '../../../driver/session-parts.ts';
import type { WatchCall } from '../../../driver/watch-calls.ts';
import { type CaptureMode, pagingOptionsOf } from '../format/about.ts';
import { type Capture, CAPTURES, type OwnerRun, type SlotChange, type StepRecord } from '../format/records.ts';
import { FollowedFrames } from './followed-frames.ts';
import { TraceFile } from './trace-file.ts';
import { WritesInFlight } from './writes-in-flight.ts';

/** A block holds a megabyte, and so ten times this. */
const RECORD_ITEMS = 8192;
/** And so many names, unless they are longer than 1000 bytes each. */
const RECORD_NAMES = 1024;

export interface RecordOptions {
  /** A line for people: what this is a trace of. */
  readonly title?: string;
  /** Overwrites a file that is not a trace; defaults to false. One that any process has open is never overwritten. */
  readonly force?: boolean;
  /** What the session's own output says of itself in its header, so that a replay's says the same. */
  readonly options?: Readonly<Record<string, string | number | boolean>>;
}

/**
 * Records a session in a file: `openSession({ driver, recorder: recordTrace(path) })`.
 *
 * @param path of the trace, which is made anew
 * @throws PtmonError `bad-argument` where the file cannot be written to, or must not be overwritten
 */
export function recordTrace(path: string, options: RecordOptions = {}): TraceRecorder {
  return new TraceRecorder(new TraceFile(path, options.force), options);
}

export class TraceRecorder implements SessionRecorder {
  readonly #file: TraceFile;
  readonly #options: RecordOptions;
  readonly #writes = new WritesInFlight();
  readonly #registers: (PagingRegisters | undefined)[] = [];
  #followed: { readonly driver: ReadSource; readonly frames: FollowedFrames } | undefined;
  #monitored: ReadonlySet<number> = new Set();
  #steps: StepRecord[] = [];
  #startMs = performance.now();
  /** When the instant was that is being recorded; NaN while there is none. */
  #instantUs = Number.NaN;
  #recordedUs = 0;
  #stopUs = () => 0;
  /** Until it has begun, and when it has ended. */
  #isOver = true;

  constructor(file: TraceFile, options: RecordOptions) {
    this.#file = file;
    this.#options = options;
  }

  /** Bytes that the trace has so far. */
  get byteLength(): number {
    return this.#file.byteLength;
  }

  follow(driver: ReadSource): PhysicalMemory {
    const frames = new FollowedFrames(driver.memory);
    this.#followed = { driver, frames };
    return frames;
  }

  begin({ paging, kinds, startedAt, stopUs }: SessionBeginning): void {
    const { name, registers } = this.#driver;
    const { title = '', options = {} } = this.#options;
    this.#startMs = performance.now();
    this.#stopUs = stopUs;
    this.#file.begin({
      source: name,
      capture: captureModeOf(this.#driver),
      paging: pagingOptionsOf(paging),
      kinds,
      vcpuCount: registers?.vcpuCount,
      startedAt,
      title,
      options,
    });
    this.#isOver = false;
    this.#instantUs = 0;
  }

  called(call: WatchCall): void {
    this.#add({ type: 'call', call });
  }

  heard(said: SourceEvent, names?: EventNames): void {
    this.#writes.hear(said);
    this.#add({ type: 'said', said });
    if (names === undefined) return;
    // Where none is left, that is to be said too.
    const parts = names.names.length === 0 ? [names.names] : chunks(names.names, RECORD_NAMES);
    for (const part of parts) {
      this.#add({ type: 'names', found: names.found, names: part });
      if (part.some(({ owner }) => owner !== undefined)) this.#add({ type: 'owners', runs: ownerRuns(part) });
    }
  }

  /** Puts a word into the trace that a replay shows in its place: what the guest was told to do. */
  note(text: string): void {
    // A note is of the moment at which it is made: the guest runs.
    if (Number.isNaN(this.#instantUs)) this.#instantUs = this.#now();
    this.#add({ type: 'note', text });
  }

  async runsOn(entries: Float64Array): Promise<void> {
    this.#monitored = framesOf(entries);
    await this.#lookAround();
    this.#closeInstant();
    this.#expire();
  }

  stopped(): void {
    // What was done while it ran came before.
    if (this.#steps.length > 0 || this.#frames.hasNews) this.#closeInstant();
    this.#expire();
    this.#instantUs = this.#lastStopUs();
  }

  end(end: SessionEnd): void {
    if (this.#isOver) return;
    this.#isOver = true;
    if (this.#steps.length > 0 || this.#frames.hasNews) this.#closeInstant();
    this.#file.add({ type: 'end', ended: end.ended, ...(end.failure && { failure: end.failure }) });
    this.#file.close();
  }

  /** A session that ends late still ends the record. */
  close(): void {
    if (this.#isOver) this.#file.close();
  }

  get #driver(): ReadSource {
    return this.#expectFollowed().driver;
  }

  get #frames(): FollowedFrames {
    return this.#expectFollowed().frames;
  }

  #expectFollowed() {
    if (this.#followed !== undefined) return this.#followed;
    throw new PtmonError('bad-argument', 'a recorder records the one session that it was given to (openSession)');
  }

  /**
   * Reads what nobody has asked for: in a source that traps entries or nothing, all that the monitored frames hold besides what is
   * watched in them; in one that traps whole frames, those that were written to.
   */
  async #lookAround(): Promise<void> {
    const wanted =
      this.#driver.protection === undefined ? this.#monitored : this.#writes.landedAmong(this.#frames.numbers());
    const missing: number[] = [];
    for (const gfn of wanted) {
      if (this.#frames.has(gfn) && this.#frames.refresh(gfn) === READ_NOT_FETCHED) missing.push(gfn);
    }
    if (missing.length === 0) return;
    await this.#driver.remote?.fetch(missing.map((gfn) => gfn * 4096));
    for (const gfn of missing) this.#frames.refresh(gfn);
  }

  #add(step: StepRecord): void {
    if (this.#isOver) return;
    if (Number.isNaN(this.#instantUs)) this.#instantUs = this.#lastStopUs();
    this.#steps.push(step);
  }

  #closeInstant(): void {
    const { appeared, changes, left } = this.#frames.takeNews((gfn) => this.#monitored.has(gfn));
    const file = this.#file;
    for (const gfns of chunks(left)) file.add({ type: 'left', gfns });
    for (const [gfn, words] of appeared) {
      file.add(words === null ? { type: 'no-memory', gfn } : { type: 'table', gfn, words });
    }
    this.#addChanges(changes);
    this.#addRegisters();
    for (const step of this.#steps) file.add(step);
    const timeUs = Number.isNaN(this.#instantUs) ? this.#lastStopUs() : this.#instantUs;
    file.add({ type: 'instant', sinceUs: timeUs - this.#recordedUs });
    this.#recordedUs = timeUs;
    this.#steps = [];
    this.#instantUs = Number.NaN;
  }

  #addChanges(changes: readonly SlotChange[]): void {
    const noticed: Record<Capture, SlotChange[]> = { write: [], compare: [] };
    for (const change of changes) noticed[this.#writes.covers(change.pa) ? 'write' : 'compare'].push(change);
    for (const capture of CAPTURES) {
      for (const some of chunks(noticed[capture])) this.#file.add({ type: 'changes', capture, changes: some });
    }
  }

  #addRegisters(): void {
    const { registers } = this.#driver;
    for (let vcpu = 0; vcpu < (registers?.vcpuCount ?? 0); vcpu++) {
      const now = registers!.readRegisters(vcpu);
      const before = this.#registers[vcpu];
      if (before !== undefined && isSame(before, now)) continue;
      this.#registers[vcpu] = now;
      this.#file.add({ type: 'registers', vcpu, registers: now });
    }
  }

  #expire(): void {
    this.#frames.expire();
    this.#writes.expire();
  }

  /** The session's own time, so that a replay gives its events the same. */
  #lastStopUs(): number {
    return Math.max(this.#recordedUs, this.#stopUs());
  }

  #now(): number {
    return Math.max(this.#recordedUs, Math.round((performance.now() - this.#startMs) * 1000));
  }
}

/** Neighbours are mostly of one area. */
function ownerRuns(names: readonly EventName[]): OwnerRun[] {
  const runs: { count: number; owner: EventOwner | undefined }[] = [];
  for (const { owner } of names) {
    const last = runs.at(-1);
    const { pid, comm, map } = owner ?? {};
    const isSameOwner = pid === last?.owner?.pid && comm === last?.owner?.comm && map === last?.owner?.map;
    if (last !== undefined && isSameOwner) last.count++;
    else runs.push({ count: 1, owner });
  }
  return runs;
}

/** So many of them as a record should have at most. */
function* chunks<T>(list: readonly T[], size = RECORD_ITEMS): Generator<readonly T[]> {
  for (let from = 0; from < list.length; from += size) yield list.slice(from, from + size);
}

function captureModeOf({ protection, traps }: ReadSource): CaptureMode {
  if (protection !== undefined) return 'protection';
  return traps === undefined ? 'samples' : 'traps';
}

function framesOf(entries: Float64Array): Set<number> {
  const frames = new Set<number>();
  let last = -1;
  for (const pa of entries) {
    const gfn = gfnOf(pa);
    if (gfn !== last) frames.add(gfn);
    last = gfn;
  }
  return frames;
}

function isSame(a: PagingRegisters, b: PagingRegisters): boolean {
  return a === b || (a.cr0 === b.cr0 && a.cr3 === b.cr3 && a.cr4 === b.cr4 && a.efer === b.efer);
}
