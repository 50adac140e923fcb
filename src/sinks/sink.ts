/** The contract of a sink, which consumes events. It depends on no driver, monitor or guest. */
import type { BackedRun, EventTime, MonitorEvent, OptInKind, Tag } from '../core/monitor/events.ts';

/** What a sink receives before the first event. */
export interface SourceInfo {
  /** The driver's name: `sim`, `qemu`, … */
  readonly source: string;
  /** Paging mode, by its name. */
  readonly mode: string;
  /** The kinds that are reported beside page-in and page-out. */
  readonly kinds: readonly OptInKind[];
}

/**
 * A watch begins or ends. From here on, `backed` is all that backs the addresses that the change names, as far as they are watched: what
 * other watches of the same pages retain is in it, too. The events that follow continue from there.
 */
export interface WatchChange {
  readonly kind: 'watch' | 'unwatch';
  /** Undefined for all views. */
  readonly view?: number;
  /** Physical address of the top-level table; undefined for all of them. */
  readonly root?: number;
  /** One address, or the first page of a range; undefined for all of the address space. */
  readonly va?: bigint;
  /** 4 KiB pages of a range: the change is about the first byte of each. Undefined for one address. */
  readonly pages?: number;
  /** That the caller gave. */
  readonly tags: readonly Tag[];
  readonly backed: readonly BackedRun[];
  readonly time: EventTime;
}

/** The times from one sample to the next. */
export interface SampleWindows {
  /** In which no watched table was written: nothing was lost. */
  readonly proved: number;
  /** In which an unknown number of changes may have been lost; their length together, and the longest. */
  readonly unknown: number;
  readonly unknownMs: number;
  readonly longestMs: number;
}

/** What a session has processed. */
export interface Statistics {
  /** Events, by kind. */
  readonly counts: Readonly<Record<MonitorEvent['kind'], number>>;
  /** Writes that the source reported, and commits of them. */
  readonly writes: number;
  readonly commits: number;
  /** Comparisons of everything monitored with memory, and the events that only they found. */
  readonly resyncs: number;
  readonly foundByResync: number;
  /** Missed changes: the number that the source counted, and whether there may be others. */
  readonly lost: {
    readonly known: number;
    readonly unknown: boolean;
    /** Why the number is unknown, as text; absent where it is known. */
    readonly reasons?: readonly string[];
    /** Where the guest was sampled: for how much of the time the number is unknown. */
    readonly windows?: SampleWindows;
  };
  /** Protections that could not be restored. */
  readonly faults: number;
  /** Calls repeated after transient failures of the source. */
  readonly retries: number;
}

/** What a sink receives after the last event. */
export interface Summary extends Statistics {
  /** `finished`: the guest ended. `stopped`: the consumer stopped. `failed`: see `failure`. */
  readonly ended: 'finished' | 'stopped' | 'failed';
  readonly failure?: { readonly code: string; readonly message: string };
  /** Events that the sink did not get, because its reader did not read; absent if there are none. */
  readonly dropped?: number;
}

/**
 * A consumer of events. The session awaits what it returns before the guest resumes (`mayLag`: before its next stop is handled): a slow
 * sink slows the guest instead of losing events. A sink that throws ends its session; `end` is still called, exactly once, on every path.
 */
export interface Sink {
  /** It tells of events, and no more: the guest may run on while it is given one. */
  readonly mayLag?: boolean;
  begin?(source: SourceInfo): void | Promise<void>;
  write(event: MonitorEvent): void | Promise<void>;
  /** So many events between the last one and the next were dropped. */
  dropped?(count: number): void | Promise<void>;
  /** Without it, what is backed is not even looked up. */
  watch?(change: WatchChange): void | Promise<void>;
  end(summary: Summary): void | Promise<void>;
}
