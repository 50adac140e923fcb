/**
 * A driver for memory that says nothing of its writes: it is looked at again and again, and whatever is watched is compared. The
 * guest never stops. What changes and changes back between two samples is not seen, and nobody can tell how often that was.
 */
import { setImmediate, setTimeout } from 'node:timers/promises';
import { PtmonError } from '../../core/error.ts';
import type { PhysicalMemory } from '../../core/memory/physical-memory.ts';
import type { Driver, MissedEvent, RegisterAccess, RemoteFetch } from '../../driver/driver.ts';
import { type Sampling, SamplingClock } from './sampling.ts';

/** Memory that keeps what was read until `clear`, so that what is seen of a sample stays. */
export interface SampledMemory {
  readonly memory: PhysicalMemory;
  readonly remote?: RemoteFetch;
  clear(): void;
  /** Whether it still is what was opened; called before each sample. @throws PtmonError `source-unavailable` */
  check?(): void;
  close(): void | Promise<void>;
}

export interface SamplingOptions {
  /** Of the driver. */
  readonly name: string;
  /** Becomes the driver's, which closes it. */
  readonly source: SampledMemory;
  /** From the beginning of one sample to that of the next, in milliseconds; defaults to 100; 0 samples as often as possible. */
  readonly intervalMs?: number;
  /** Absent where only memory is known. */
  readonly registers?: RegisterAccess;
}

const SAMPLED: readonly MissedEvent[] = [{ kind: 'missed', reason: 'sampled', lost: null }];

export class SamplingDriver implements Driver {
  readonly name: string;
  readonly isSampled = true;
  readonly memory: PhysicalMemory;
  readonly remote?: RemoteFetch;
  readonly registers?: RegisterAccess;
  readonly #source: SampledMemory;
  readonly #intervalMs: number;
  readonly #clock: SamplingClock;
  readonly #stop = new AbortController();
  #closing: Promise<void> | undefined;

  /** @throws PtmonError `bad-argument`; the source stays open then */
  constructor(options: SamplingOptions) {
    const { name, source, intervalMs = 100, registers } = options;
    // The longest time that a timer can wait.
    if (!(intervalMs >= 0 && intervalMs < 2 ** 31)) {
      throw new PtmonError('bad-argument', `a guest cannot be looked at every ${intervalMs} ms`);
    }
    this.name = name;
    this.memory = source.memory;
    if (source.remote !== undefined) this.remote = source.remote;
    if (registers !== undefined) this.registers = registers;
    this.#source = source;
    this.#intervalMs = intervalMs;
    this.#clock = new SamplingClock(intervalMs);
  }

  /** The interval so far; a copy. */
  get sampling(): Sampling {
    return this.#clock.read();
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
      this.#source.check?.();
      this.#source.clear();
      this.#clock.tick(performance.now());
      yield SAMPLED;
      // Samples that nobody had the time for are left out, not made up for.
      dueMs = Math.max(dueMs + this.#intervalMs, performance.now());
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

/** Waits, at least for one turn of the event loop; an abort ends it. */
async function waitUntil(dueMs: number, signal: AbortSignal): Promise<void> {
  const waitMs = Math.round(dueMs - performance.now());
  const options = { signal };
  await (waitMs > 0 ? setTimeout(waitMs, undefined, options) : setImmediate(undefined, options)).catch(() => {});
}
