/** What each event of the source asks of the monitor, and what is known of lost changes before and after. */
import type { CallInSteps } from '../core/monitor/call-in-steps.ts';
import type { MonitorEvent } from '../core/monitor/events.ts';
import type { SourceEvent } from '../driver/driver.ts';
import { carryOut } from '../driver/carry-out.ts';
import type { ObservedMonitor } from './observed-monitor.ts';
import type { SessionOptions } from './options.ts';

/** An event that the monitor processes at once, as it does not a write. */
export type ProcessedEvent = Exclude<SourceEvent, { kind: 'write' }>;

export class SourceEvents {
  readonly #monitor: ObservedMonitor;
  readonly #options: Pick<SessionOptions, 'driver' | 'recorder' | 'system'>;

  constructor(monitor: ObservedMonitor, options: SessionOptions) {
    this.#monitor = monitor;
    this.#options = options;
  }

  /** Where no watched table was written, nothing was lost. */
  prove(event: SourceEvent): SourceEvent {
    if (event.kind !== 'missed' || event.writtenFrames === undefined) return event;
    const writtenFrames = event.writtenFrames.filter((gfn) => this.#monitor.isMonitoredTable(gfn));
    if (writtenFrames.length > 0) return { ...event, writtenFrames };
    const { blindTo } = this.#options.system ?? {};
    return {
      ...event,
      writtenFrames,
      ...(blindTo === undefined ? { lost: 0 } : { reason: `${event.reason}; ${blindTo}` }),
    };
  }

  /** Has the monitor process an event. @param signal as of `carryOut` @throws as `carryOut` */
  process(event: ProcessedEvent, signal: AbortSignal): MonitorEvent[] | Promise<MonitorEvent[]> {
    return carryOut(
      this.#monitor.asSource(() => this.#callFor(event)),
      signal,
    );
  }

  /** As `process`; null where that takes longer than a moment, or fails: then nothing has happened. */
  processAtOnce(event: ProcessedEvent): MonitorEvent[] | null {
    const monitor = this.#monitor;
    try {
      if (event.kind === 'commit') return monitor.processAtOnce(event.vcpu);
      if (event.kind !== 'missed' || event.writtenFrames !== undefined) return null;
      return monitor.isUnchanged(event.scope ?? 'all') ? [] : null;
    } catch {
      return null;
    }
  }

  /**
   * What is known of an event once it is processed. A comparison that should have found nothing, and found changes, shows that changes
   * go unreported.
   */
  conclude(event: ProcessedEvent, found: number): ProcessedEvent {
    if (event.kind !== 'missed') return event;
    const { driver } = this.#options;
    driver.compared?.(found);
    if (event.isCheck !== true || found === 0) return event;
    driver.traps?.missed?.(found);
    return { ...event, lost: null };
  }

  #callFor(event: ProcessedEvent): CallInSteps<MonitorEvent[]> {
    switch (event.kind) {
      case 'commit':
        return this.#monitor.processDirtyEntriesInSteps(event.vcpu);
      case 'missed': {
        // A replay compares everything: so must the recorded session.
        const isRecorded = this.#options.recorder !== undefined;
        return this.#monitor.resyncInSteps(undefined, isRecorded ? 'all' : (event.writtenFrames ?? event.scope));
      }
      case 'root-gone':
        return this.#monitor.rootGoneInSteps(event.root);
    }
  }
}
