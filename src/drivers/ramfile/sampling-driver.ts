/**
 * A driver for memory that says nothing of its writes: it is looked at again and again, and whatever is watched is compared. The
 * guest never stops. What changes and changes back between two samples is not seen, and nobody can tell how often that was.
 */
import { setImmediate, setTimeout } from 'node:timers/promises';
import { PtmonError } from '../../core/error.ts';
import type { PhysicalMemory } from '../../core/memory/physical-memory.ts';
import type { Driver, MissedEvent, RegisterAccess, RemoteFetch } from '../../driver/driver.ts';
import { Pace } from './pace.ts';
import { type Sampling, SamplingClock } from './sampling.ts';

/** Memory that keeps what was read until `clear`, so that what is seen of a sample stays. */
export interface SampledMemory {
  readonly memory: PhysicalMemory;
  readonly remote?: RemoteFetch;
  clear(): void;
  /**
   * Called before each `clear`. @returns the frames that may have been written since the last time, among those that were read;
   *   undefined for any
   */
  writtenFrames?(): Promise<readonly number[] | undefined>;
  /** Whether it still is what was opened; called before each sample. @throws PtmonError `source-unavailable` */
  check?(): void | Promise<void>;
  close(): void | Promise<void>;
}

export interface SamplingOptions {
  /** Of the driver. */
  readonly name: string;
  /** Becomes the driver's, which closes it. */
  readonly source: SampledMemory;
  /** From the beginning of one sample to that of the next, in milliseconds; 0 samples as often as possible. */
  readonly intervalMs?: number;
  /**
   * Down to which the interval goes while samples find changes. Defaults to `intervalMs`; where that is absent too, they are 100 and
   * 10. A sample then takes at most a fifth of the time.
   */
  readonly minIntervalMs?: number;
  /** Absent where only memory is known. */
  readonly registers?: RegisterAccess;
}

const DEFAULT_INTERVAL_MS = 100;
const DEFAULT_MIN_INTERVAL_MS = 10;

const SAMPLED: readonly MissedEvent[] = [{ kind: 'missed', reason: 'sampled', lost: null }];

export class SamplingDriver implements Driver {
  readonly name: string;
  readonly isSampled = true;
  readonly memory: PhysicalMemory;
  readonly remote?: RemoteFetch;
  readonly registers?: RegisterAccess;
  readonly #source: SampledMemory;
  readonly #pace: Pace;
  readonly #clock: SamplingClock;
  readonly #stop = new AbortController();
  #closing: Promise<void> | undefined;

  /** @throws PtmonError `bad-argument`; the source stays open then */
  constructor(options: SamplingOptions) {
    const { name, source, registers } = options;
    const pace = paceOf(options);
    this.name = name;
    this.memory = source.memory;
    if (source.remote !== undefined) this.remote = source.remote;
    if (registers !== undefined) this.registers = registers;
    this.#source = source;
    this.#pace = pace;
    this.#clock = new SamplingClock(pace);
  }

  /** The interval so far; a copy. */
  get sampling(): Sampling {
    return this.#clock.read();
  }

  compared(events: number): void {
    this.#pace.compared(events);
  }

  /**
   * The first sample is taken at once, against what was read when the watches were set: nothing is missed that lasts. May be
   * called again. @throws PtmonError `closed`, and what the source's `check` throws
   */
  async *run(signal?: AbortSignal): AsyncGenerator<readonly MissedEvent[], void, undefined> {
    if (this.#closing !== undefined) throw new PtmonError('closed', `the ${this.name} driver is closed`);
    const stop = signal === undefined ? this.#stop.signal : AbortSignal.any([signal, this.#stop.signal]);
    this.#clock.pause();
    for (let dueMs = performance.now(); !stop.aborted; ) {
      await this.#source.check?.();
      const beginMs = performance.now();
      this.#clock.tick(beginMs);
      const writtenFrames = await this.#source.writtenFrames?.();
      this.#source.clear();
      yield writtenFrames === undefined ? SAMPLED : [{ ...SAMPLED[0]!, writtenFrames }];
      // Samples that nobody had the time for are left out, not made up for.
      const endMs = performance.now();
      dueMs = Math.max(dueMs + this.#pace.after(endMs - beginMs), endMs);
      await waitUntil(dueMs, stop);
    }
  }

  /** Ends a run, and closes the source. Never throws, and may be called again. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#stop.abort();
    try {
      await this.#source.close();
    } catch {
      // What cannot be closed is gone.
    }
  }
}

/** @throws PtmonError `bad-argument` */
function paceOf({ intervalMs, minIntervalMs }: SamplingOptions): Pace {
  const slowest = intervalMs ?? DEFAULT_INTERVAL_MS;
  const fastest = minIntervalMs ?? intervalMs ?? DEFAULT_MIN_INTERVAL_MS;
  for (const each of [slowest, fastest]) {
    // The longest time that a timer can wait.
    if (each >= 0 && each < 2 ** 31) continue;
    throw new PtmonError('bad-argument', `a guest cannot be sampled every ${each} ms`);
  }
  if (fastest <= slowest) return new Pace(slowest, fastest);
  throw new PtmonError('bad-argument', `minIntervalMs ${fastest} is more than intervalMs ${slowest}`);
}

/** Waits, at least for one turn of the event loop; an abort ends it. */
async function waitUntil(dueMs: number, signal: AbortSignal): Promise<void> {
  const waitMs = Math.round(dueMs - performance.now());
  const options = { signal };
  await (waitMs > 0 ? setTimeout(waitMs, undefined, options) : setImmediate(undefined, options)).catch(() => {});
}
