/** What knows the guest's operating system and takes part in a session. The guest is stopped during each call. */
import type { MonitorEvent } from '../core/monitor/events.ts';
import type { SourceEvent } from '../driver/driver.ts';

export interface SystemLayer {
  /**
   * Physical addresses of words of 8 bytes that tell of the system's life. Where the source traps entries, it stops the guest after
   * writes to them as well, and reports those.
   */
  words(): Float64Array;
  /** What of the system comes and goes unseen where the source traps nothing, as text: then no number of lost events is known. */
  readonly blindTo?: string | undefined;
  /**
   * Called with each batch before it is processed: watches what has come, releases what is no longer wanted, and answers what it
   * knows and the source does not (`root-gone`), which is processed first. What it throws ends the session.
   */
  update(batch: readonly SourceEvent[]): Promise<readonly SourceEvent[]>;
  /** Gives events the system's own names, before anybody else hears of them. What it throws ends the session. */
  label(events: readonly MonitorEvent[]): Promise<readonly MonitorEvent[]>;
}
