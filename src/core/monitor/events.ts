/** The monitor's events. Plain objects: callers may keep, spread and serialize them. */
import type { Pa, Va } from '../address/types.ts';
import type { Rights } from '../paging/rights.ts';
import type { Tag } from '../struct/references.ts';

export type { Tag };

/**
 * The entry whose change caused an event (rule E5): the lowest one that both the old and the new walk of the address go through, and that
 * leads elsewhere now. Where none does, because only rights changed, one that changed.
 */
export interface Cause {
  /** Physical address of the entry. */
  readonly entryPa: Pa;
  /** Level of the table that holds it: 1 (PT) to 5 (PML5). */
  readonly level: number;
  /** The entry's value before and after: 64 bits, or 32 in legacy paging. */
  readonly oldValue: bigint;
  readonly newValue: bigint;
  /** What each value means to the guest's kernel where it is not present: `swap 0:4711`. Absent without a system layer. */
  readonly oldMeaning?: string;
  readonly newMeaning?: string;
}

/** When the guest stopped, by the host's clocks. */
export interface EventTime {
  /** Microseconds since the session began, by a clock that is never set. */
  readonly us: number;
  /** The same moment by the wall clock: ISO 8601 in UTC, with microseconds. Undefined where the recording does not say. */
  readonly at: string | undefined;
}

interface EventBase {
  readonly view: number;
  /** Physical address of the top-level table. */
  readonly root: Pa;
  readonly va: Va;
  /** All tags of the address, in the order in which they were given. */
  readonly tags: readonly Tag[];
  /** The vCPU whose writes were processed; null for `resync` and for a root that is gone. */
  readonly vcpu: number | null;
  /** Null when no entry changed (a root that is gone). */
  readonly cause: Cause | null;
  /** When the guest stopped for it. A session adds it. */
  readonly time?: EventTime;
  /** The process, and the area of its memory (`heap`, a path, `anon`). Absent without a system layer that knows them. */
  readonly pid?: number;
  /** What /proc/PID/comm says: at most 15 bytes. */
  readonly comm?: string;
  readonly map?: string;
}

/** The address gained or lost the physical memory behind it. */
export interface PageEvent extends EventBase {
  readonly kind: 'page-in' | 'page-out';
  /** Exact: includes the offset of `va` within its page. */
  readonly pa: Pa;
  /** Bytes that the mapping's leaf covers: 4 KiB, 2 MiB, 4 MiB or 1 GiB. */
  readonly pageSize: number;
  /** 4 KiB pages from `va` on, contiguous in both address spaces, that this event covers: 1 unless `runs` is set. */
  readonly pages: number;
}

/** Opt-in (rule E6): the backing stayed, the effective rights changed. */
export interface ProtectionEvent extends EventBase {
  readonly kind: 'protection';
  readonly pa: Pa;
  readonly pageSize: number;
  /** As of a `PageEvent`; the rights are those of each page. */
  readonly pages: number;
  readonly oldRights: Rights;
  readonly newRights: Rights;
}

/** Opt-in (rule E6): the backing stayed, the size of the page that maps it changed. */
export interface RestructureEvent extends EventBase {
  readonly kind: 'restructure';
  readonly pa: Pa;
  readonly oldPageSize: number;
  readonly pageSize: number;
  /** As of a `PageEvent`. */
  readonly pages: number;
}

/** Opt-in (rules E6, R4): the address's top-level table is gone. The last event of the address. */
export interface RootGoneEvent extends EventBase {
  readonly kind: 'root-gone';
  /** 4 KiB pages from `va` on: a range reports this once, not page by page. */
  readonly pages: number;
}

export type MonitorEvent = PageEvent | ProtectionEvent | RestructureEvent | RootGoneEvent;

/** Watched pages that are backed: contiguous in both address spaces, mapped by leaves of one size. */
export interface BackedRun {
  readonly va: Va;
  readonly pa: Pa;
  /** Bytes that the leaf covers. */
  readonly pageSize: number;
  /** 4 KiB pages from `va` on. */
  readonly pages: number;
}

/** Kinds that the monitor reports only where `MonitorOptions.kinds` lists them. */
export const OPT_IN_KINDS = ['protection', 'restructure', 'root-gone'] as const;
export type OptInKind = (typeof OPT_IN_KINDS)[number];
export const EVENT_KINDS = ['page-in', 'page-out', ...OPT_IN_KINDS] as const satisfies readonly MonitorEvent['kind'][];
