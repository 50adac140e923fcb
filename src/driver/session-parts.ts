/** What may take part in a session beside its driver: a recorder keeps a record of it, a script repeats a recorded one. */
import type { Paging, PagingOptions } from '../core/paging/format.ts';
import type { PhysicalMemory } from '../core/memory/physical-memory.ts';
import type { Driver, SourceEvent } from './driver.ts';
import type { WatchCall, WatchTarget } from './watch-calls.ts';

/** What a session is before anything has happened. */
export interface SessionBeginning {
  readonly paging: Paging;
  /** Kinds of events that the session emits besides page-in and page-out. */
  readonly kinds: readonly string[];
  /** When the session began, by the host's wall clock: ISO 8601. */
  readonly startedAt: string;
  /** Returns the time of the guest's last stop, in microseconds since then. */
  readonly stopUs: () => number;
}

export interface SessionEnd {
  readonly ended: 'finished' | 'stopped' | 'failed';
  readonly failure?: { readonly code: string; readonly message: string };
}

/** The process that an event is about, and the area of its memory. */
export interface EventOwner {
  readonly pid: number;
  readonly comm: string;
  readonly map?: string;
}

/** How an event, or some pages of one, was called by what knows the guest's system. */
export interface EventName {
  /** Place of the event among those that were found. */
  readonly event: number;
  /** 4 KiB pages of it that come before. */
  readonly skippedPages: number;
  /** Undefined for all of them. */
  readonly pages: number | undefined;
  readonly tags: readonly (string | number)[];
  readonly owner?: EventOwner | undefined;
  readonly oldMeaning?: string | undefined;
  readonly newMeaning?: string | undefined;
}

/** The names of all events that one thing has led to. */
export interface EventNames {
  /** How many events there were before they were called anything. */
  readonly found: number;
  readonly names: readonly EventName[];
}

/** What a session reads of a driver. */
export type ReadSource = Pick<Driver, 'name' | 'memory'> & {
  readonly [Capability in 'remote' | 'registers' | 'protection' | 'traps']: Driver[Capability];
};

/** Learns all that decides a session's events, in order: the same again gives the same events. */
export interface SessionRecorder {
  /** Once, before anything else. @returns the memory that the session reads from then on: the source's, as it is recorded */
  follow(source: ReadSource): PhysicalMemory;
  /** Once, before anything is watched. @throws where the record cannot be written */
  begin(beginning: SessionBeginning): void;
  /** What is watched has changed. */
  called(call: WatchCall): void;
  /** The session has processed this. @param names of the events that it led to, where they were given others than their tags */
  heard(said: SourceEvent, names?: EventNames): void;
  /** The guest has stopped; what happened is told next. */
  stopped(): void;
  /**
   * The guest is about to run on.
   *
   * @param entries physical addresses of the monitored entries, in any order, some perhaps more than once; not kept
   * @throws where the record cannot be written
   */
  runsOn(entries: Float64Array): Promise<void>;
  /** After all of that. @throws where the record cannot be written */
  end(end: SessionEnd): void;
  /** The driver is closed. Called on every path, also where the session never began. */
  close(): void;
}

/** Says what a session is to watch, and when: what a recorder heard, made again. */
export interface SessionScript {
  /** How the guest pages. */
  readonly paging: PagingOptions;
  /** When the recorded session began: ISO 8601; not necessarily a valid time. */
  readonly startedAt: string;
  /** Returns the time of the present instant, in microseconds since then. */
  readonly stopUs: () => number;
  /** How the recorded session ended; known when `run` has returned. */
  readonly ended: 'finished' | 'stopped';
  /**
   * Makes the calls that are due. Where they take long, returns a promise: signals and timers have their turn in between.
   *
   * @param after what has just been processed; null at the very beginning, and at the beginning of each batch
   * @param signal ends the calls
   * @throws what the calls throw; the reason of `signal`
   */
  perform(target: WatchTarget, after: SourceEvent | null, signal?: AbortSignal): void | Promise<void>;
  /** How the events were called that what is being processed leads to; undefined for their tags. */
  names(): EventNames | undefined;
}
