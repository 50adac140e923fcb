/** Where events go. A sink knows events and nothing of drivers, monitors or guests. */
import type { MonitorEvent, OptInKind } from '../core/monitor/events.ts';

/** What a sink is told before the first event. */
export interface SourceInfo {
  /** The driver's name: `sim`, `qemu`, … */
  readonly source: string;
  /** Paging mode, by its name. */
  readonly mode: string;
  /** Kinds that are said beyond page-in and page-out. */
  readonly kinds: readonly OptInKind[];
}

/** What passed through a session. */
export interface Statistics {
  /** Events, by kind. */
  readonly counts: Readonly<Record<MonitorEvent['kind'], number>>;
  /** Writes that the source reported, and commits of them. */
  readonly writes: number;
  readonly commits: number;
  /** Comparisons of everything monitored with memory, and the events that only they brought to light. */
  readonly resyncs: number;
  readonly foundByResync: number;
  /** Changes that went unseen: as many as the source could count, and whether there were some that nobody could. */
  readonly lost: { readonly known: number; readonly unknown: boolean };
  /** Protections that could not be restored. */
  readonly faults: number;
  /** Calls made again after the source failed in passing. */
  readonly retries: number;
}

/** What a sink is told after the last event. */
export interface Summary extends Statistics {
  /** `finished`: the guest ended. `stopped`: the consumer had enough. `failed`: see `failure`. */
  readonly ended: 'finished' | 'stopped' | 'failed';
  readonly failure?: { readonly code: string; readonly message: string };
}

/**
 * A consumer of events. Whatever it returns is awaited before the guest runs on, so a slow sink slows the guest instead of
 * losing events. A sink that throws ends its session; `end` is still called, exactly once, on every path.
 */
export interface Sink {
  begin?(source: SourceInfo): void | Promise<void>;
  write(event: MonitorEvent): void | Promise<void>;
  end(summary: Summary): void | Promise<void>;
}
