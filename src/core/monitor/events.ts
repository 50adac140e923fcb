/** The monitor's events. Plain objects: callers may keep, spread and serialize them. */
import type { Pa, Va } from '../address/types.ts';
import type { Rights } from '../paging/rights.ts';
import type { Tag } from '../struct/references.ts';

export type { Tag };

/** The entry whose change caused an event (rule E5). */
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

/** Kinds that the monitor reports only where `MonitorOptions.kinds` lists them. */
export type OptInKind = 'protection' | 'restructure' | 'root-gone';
