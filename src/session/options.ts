import type { PtmonError } from '../core/error.ts';
import type { OptInKind } from '../core/monitor/events.ts';
import type { Paging, PagingOptions } from '../core/paging/format.ts';
import type { Driver, SourceEvent } from '../driver/driver.ts';
import type { SessionRecorder, SessionScript } from '../driver/session-parts.ts';
import type { Sink } from '../sinks/sink.ts';
import type { SystemLayer } from './system-layer.ts';

export interface SessionOptions {
  /** The session's from here on: closed with it, on every path. */
  readonly driver: Driver;
  /** Keeps a record of the session; closed with it. */
  readonly recorder?: SessionRecorder;
  /** Repeats a recorded session on its driver. */
  readonly script?: SessionScript;
  /** What is not told is read from the registers of vCPU 0. */
  readonly paging?: Paging | Partial<PagingOptions>;
  /** Event kinds beyond page-in and page-out. */
  readonly kinds?: readonly OptInKind[];
  /** Each gets every event before the iterator does. */
  readonly sinks?: readonly Sink[];
  /** Ends the session when aborted, without an error. */
  readonly signal?: AbortSignal;
  /** How often the session retries a call after a transient failure of the source; defaults to 3. */
  readonly retries?: number;
  /**
   * Called when a batch of the source is processed and before the guest runs on. Awaited; what it throws ends the session.
   */
  readonly onBatch?: (batch: readonly SourceEvent[]) => void | Promise<void>;
  /** Takes part, where there is one. */
  readonly system?: SystemLayer;
  /** Told of protections that could not be restored (rule C9). */
  readonly onFault?: (fault: PtmonError) => void;
}
