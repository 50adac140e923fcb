/** The two ways in which a driver takes part in its session: one keeps a record of it, the other repeats one. */
import type { Paging, PagingOptions } from '../core/paging/format.ts';
import type { SourceEvent } from './driver.ts';
import type { WatchCall, WatchTarget } from './watch-calls.ts';

/** What a session is before anything has happened. */
export interface SessionBeginning {
  readonly paging: Paging;
  /** Kinds of events that are said beyond page-in and page-out. */
  readonly kinds: readonly string[];
}

export interface SessionEnd {
  readonly ended: 'finished' | 'stopped' | 'failed';
  readonly failure?: { readonly code: string; readonly message: string };
}

/** Hears of all that decides a session's events, in order: the same again gives the same events. */
export interface SessionRecorder {
  /** Once, before anything else. @throws where the record cannot be written */
  begin(beginning: SessionBeginning): void;
  /** What is watched has changed. */
  called(call: WatchCall): void;
  /** The session has processed this. */
  heard(said: SourceEvent): void;
  /**
   * The guest is about to run on.
   *
   * @param entries physical addresses of the monitored entries, in any order, some perhaps more than once; not kept
   * @throws where the record cannot be written
   */
  runsOn(entries: Float64Array): Promise<void>;
  /** Once, after everything else. @throws where the record cannot be written */
  end(end: SessionEnd): void;
}

/** Says what a session is to watch, and when: what a recorder heard, made again. */
export interface SessionScript {
  /** How the guest pages. */
  readonly paging: PagingOptions;
  /** How the recorded session ended; known when `run` has returned. */
  readonly ended: 'finished' | 'stopped';
  /**
   * Makes the calls that are due.
   *
   * @param after what has just been processed; null at the very beginning, and at the beginning of each batch
   * @throws what the calls throw
   */
  perform(target: WatchTarget, after: SourceEvent | null): void;
}
