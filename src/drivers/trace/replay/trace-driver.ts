/** The trace driver: a recorded guest, which does what it did, and is asked what it was asked. */
import { setTimeout } from 'node:timers/promises';
import { hex } from '../../../core/address/va.ts';
import { PtmonError, type PtmonErrorCode } from '../../../core/error.ts';
import { ACCESS_ALL, type PageAccess, type PageProtection } from '../../../core/memory/page-access.ts';
import { makePaging } from '../../../core/paging/format.ts';
import type { PhysicalMemory, ReadOutcome } from '../../../core/memory/physical-memory.ts';
import type { Driver, MissedEvent, RegisterAccess, SourceEvent } from '../../../driver/driver.ts';
import type { EventName, EventNames, SessionScript } from '../../../driver/session-parts.ts';
import type { WatchTarget } from '../../../driver/watch-calls.ts';
import type { TraceAbout } from '../format/about.ts';
import { corrupt, locate, located } from '../format/corrupt.ts';
import type { OwnerRun } from '../format/records.ts';
import { carryOut } from '../../../driver/carry-out.ts';
import { makeEventLoopTurn } from '../../../driver/event-loop-turn.ts';
import { makeCall } from './make-call.ts';
import { type TraceInstant, TraceReader } from './trace-reader.ts';
import { TraceState } from './trace-state.ts';
import { WatchCharges } from './watch-charges.ts';

export interface TraceOptions {
  /**
   * Whether the session watches what was watched when this was recorded, from and to the same moments. Defaults to true; otherwise
   * the caller says what to watch, and what changed in between two of the guest's stops is unknown then.
   */
  readonly repeat?: boolean;
  /** 1 for as fast as it happened, 2 for twice as fast; defaults to as fast as can be. */
  readonly speed?: number;
  /** Called with each instant before its events. */
  readonly onInstant?: (instant: TraceInstant) => void;
}

/** What a session takes to repeat a trace. */
export interface OpenedTrace {
  readonly driver: TraceDriver;
  /** Watches what was watched, from and to the same moments; also says how the guest pages. */
  readonly script: SessionScript;
}

/**
 * Opens a trace, at its beginning: `openSession({ ...openTrace(path), sinks })`.
 *
 * @throws PtmonError `source-unavailable`, `corrupt-input`, `bad-argument`
 */
export function openTrace(path: string, options: TraceOptions = {}): OpenedTrace {
  const { speed } = options;
  if (speed !== undefined && !(speed > 0))
    throw new PtmonError('bad-argument', `the speed must be positive, not ${speed}`);
  const driver = new TraceDriver(new TraceReader(path), options);
  return { driver, script: driver.script };
}

const UNSEEN: MissedEvent = { kind: 'missed', reason: 'not watched when it was recorded', lost: null };

export class TraceDriver implements Driver {
  /** Of the source that was recorded. */
  readonly name: string;
  readonly about: TraceAbout;
  readonly memory: PhysicalMemory;
  readonly registers?: RegisterAccess;
  readonly protection?: PageProtection;
  readonly script: SessionScript;
  readonly #reader: TraceReader;
  readonly #state: TraceState;
  readonly #options: TraceOptions;
  readonly #instants: Generator<TraceInstant, void, undefined>;
  readonly #charges: WatchCharges;
  /** The present instant; undefined where not even the first is there. */
  #instant: TraceInstant | undefined;
  /** Of its steps, the next one. */
  #next = 0;
  readonly #letOthersRun = makeEventLoopTurn();
  #isClosed = false;
  #hasScript: boolean;

  constructor(reader: TraceReader, options: TraceOptions) {
    this.#reader = reader;
    this.#options = options;
    this.#hasScript = options.repeat === false;
    const { about } = reader;
    this.about = about;
    this.name = about.source;
    this.#state = new TraceState(reader.limits, (gfn) => this.#refuseFrame(gfn));
    this.memory = { readEntry: (pa, byteLength, out) => this.#read(pa, byteLength, out) };
    const registers = this.#state.registersOf(about);
    if (registers !== undefined) this.registers = registers;
    if (about.capture === 'protection') this.protection = new RememberedAccess();
    this.#charges = new WatchCharges(makePaging(about.paging), (byteLength) => reader.limits.hold(byteLength));
    this.script = this.#makeScript();
    this.#instants = reader.instants();
    try {
      this.#step();
    } catch (error) {
      reader.close();
      throw error;
    }
  }

  /** Microseconds since the recording began. */
  get timeUs(): number {
    return this.#instant?.timeUs ?? 0;
  }

  /** Of the file, as far as it was read. */
  get byteLength(): number {
    return this.#reader.byteLength;
  }

  /**
   * Once; a second call goes on where the first one was left.
   *
   * @throws PtmonError `closed`, `corrupt-input`; `bad-argument` where the session has not got the script
   */
  async *run(signal?: AbortSignal): AsyncGenerator<readonly SourceEvent[], void, undefined> {
    if (this.#isClosed) throw new PtmonError('closed', `the trace ${this.#reader.path} is closed`);
    if (!this.#hasScript) throw noScript(this.#reader.path);
    const startMs = performance.now() - this.#dueMs();
    while (!this.#isOver(signal) && this.#step()) {
      const waitMs = Math.round(startMs + this.#dueMs() - performance.now());
      if (waitMs > 0 && this.#options.speed !== undefined) await wait(waitMs, signal);
      if (this.#isOver(signal)) return;
      yield this.#batch();
    }
    this.#throwFailure();
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#reader.close();
  }

  #isOver(signal: AbortSignal | undefined): boolean {
    return this.#isClosed || signal?.aborted === true;
  }

  /** To the next instant; false where there is none. */
  #step(): boolean {
    const { value: instant } = this.#instants.next();
    if (!instant) return false;
    this.#instant = instant;
    this.#next = 0;
    this.#locate(() => this.#state.apply(instant.state));
    this.#options.onInstant?.(instant);
    return true;
  }

  #batch(): readonly SourceEvent[] {
    const batch = this.#instant!.steps.flatMap((step) => (step.type === 'said' ? [step.said] : []));
    if (this.#options.repeat !== false || this.about.capture === 'protection') return batch;
    // Only what was watched then stopped the guest.
    return [...batch.filter(({ kind }) => kind !== 'missed'), UNSEEN];
  }

  #makeScript(): SessionScript {
    const end = () => this.#reader.end;
    return {
      paging: this.about.paging,
      startedAt: this.about.startedAt,
      stopUs: () => this.timeUs,
      get ended() {
        return end()?.ended === 'stopped' ? 'stopped' : 'finished';
      },
      perform: (target, after, signal) => {
        this.#hasScript = true;
        if (this.#options.repeat !== false) return this.#locate(() => this.#perform(target, after, signal));
      },
      names: () => (this.#options.repeat === false ? undefined : this.#names()),
    };
  }

  #perform(target: WatchTarget, after: SourceEvent | null, signal?: AbortSignal): void | Promise<void> {
    if (after !== null) this.#next++;
    if (after?.kind === 'root-gone') this.#charges.rootGone(after.root);
    return this.#makeCalls(target, signal);
  }

  /** Makes the calls up to what the source said next. */
  #makeCalls(target: WatchTarget, signal: AbortSignal | undefined): void | Promise<void> {
    const steps = this.#instant?.steps ?? [];
    while (this.#next < steps.length && steps[this.#next]!.type !== 'said') {
      const step = steps[this.#next++]!;
      if (step.type !== 'call') continue;
      this.#charges.count(step.call);
      const call = makeCall(target, step.call);
      const work = call && carryOut(call, signal);
      const rest = work instanceof Promise ? work : this.#letOthersRun();
      if (rest instanceof Promise) return this.#goOn(rest, target, signal);
    }
  }

  async #goOn(before: Promise<unknown>, target: WatchTarget, signal: AbortSignal | undefined): Promise<void> {
    await before;
    signal?.throwIfAborted();
    await this.#makeCalls(target, signal);
  }

  /** They follow what is being processed. */
  #names(): EventNames | undefined {
    const names: EventName[] = [];
    let found: number | undefined;
    /** Of the last record of names. */
    let start = 0;
    for (let at = this.#next + 1; ; at++) {
      const step = this.#instant?.steps[at];
      if (step?.type === 'owners') {
        this.#locate(() => applyOwners(step.runs, names.splice(start)).forEach((name) => names.push(name)));
        continue;
      }
      if (step?.type !== 'names') return found === undefined ? undefined : { found, names };
      found ??= step.found;
      start = names.length;
      for (const name of step.names) names.push(name);
    }
  }

  #read(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    if (this.#reader.limits.isReadAllowed()) return this.#state.readEntry(pa, byteLength, out);
    throw this.#located(corrupt('watching takes more reads than any guest needs: its page tables lead in circles'));
  }

  #refuseFrame(gfn: number): never {
    if (this.#options.repeat !== false) {
      throw this.#located(corrupt(`the trace lacks the page table in frame ${hex(gfn)}, which its own calls read`));
    }
    const when = `${(this.timeUs / 1e6).toFixed(3)} s`;
    throw new PtmonError(
      'not-recorded',
      `the table at ${hex(gfn * 4096)} is not in the trace at ${when}: no address watched at that time used it`,
      { gfn },
    );
  }

  #dueMs(): number {
    return this.timeUs / 1000 / (this.#options.speed ?? 1);
  }

  #throwFailure(): void {
    const failure = this.#reader.end?.failure;
    if (failure !== undefined) throw new PtmonError(failure.code as PtmonErrorCode, failure.message);
  }

  #locate<T>(work: () => T): T {
    return locate(this.#reader.path, this.#instant?.offset ?? 0, work);
  }

  #located(error: PtmonError): PtmonError {
    return located(error, this.#reader.path, this.#instant?.offset ?? 0);
  }
}

/** @throws PtmonError `corrupt-input` for owners of other names than these */
function applyOwners(runs: readonly OwnerRun[], names: readonly EventName[]): EventName[] {
  const owned: EventName[] = [];
  for (const { count, owner } of runs) {
    if (owned.length + count > names.length)
      throw corrupt(`it has owners for more than its ${names.length} named events`);
    for (const name of names.slice(owned.length, owned.length + count)) owned.push({ ...name, owner });
  }
  return [...owned, ...names.slice(owned.length)];
}

/** A guest that is over can write nothing: it keeps accesses, for callers that read them back. */
class RememberedAccess implements PageProtection {
  readonly #access = new Map<string, PageAccess>();

  getAccess(view: number, gfn: number): PageAccess {
    return this.#access.get(`${view} ${gfn}`) ?? ACCESS_ALL;
  }

  setAccess(view: number, gfn: number, access: PageAccess): void {
    if (access === ACCESS_ALL) this.#access.delete(`${view} ${gfn}`);
    else this.#access.set(`${view} ${gfn}`, access);
  }
}

/** Nothing would be watched, and nothing reported. */
function noScript(path: string): PtmonError {
  return new PtmonError(
    'bad-argument',
    `${path}: the session lacks the script of this trace: openSession({ ...openTrace(path) }), or open it with repeat: false ` +
      'to watch other addresses',
  );
}

/** A timer cannot wait for longer. */
const MAX_WAIT_MS = 2 ** 31 - 1;

async function wait(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
  await setTimeout(Math.min(waitMs, MAX_WAIT_MS), undefined, { ...(signal && { signal }) }).catch(() => {});
}
