/** What the monitor says. Plain objects: they may be kept, spread and serialised. */
import type { Pa, Va } from '../address/types.ts';
import type { Rights } from '../paging/rights.ts';

/** A name that a user gives to a watched address, to know it again in its events. */
export type Tag = string | number;

/** The entry whose change caused an event (rule E5). */
export interface Cause {
  /** Physical address of the entry. */
  readonly entryPa: Pa;
  /** Level of the table that holds it: 1 (PT) to 5 (PML5). */
  readonly level: number;
  /** The entry's value before and after: 64 bits, or 32 in legacy paging. */
  readonly oldValue: bigint;
  readonly newValue: bigint;
  /** What each means to the guest's system where it is not present, in words: `swap 0:4711`. Absent where nobody says. */
  readonly oldMeaning?: string;
  readonly newMeaning?: string;
}

interface EventBase {
  readonly view: number;
  /** Physical address of the top-level table. */
  readonly root: Pa;
  readonly va: Va;
  /** All tags of the address, in the order they were given. */
  readonly tags: readonly Tag[];
  /** The vCPU whose writes were processed; null when nobody's were (`resync`, a root that is gone). */
  readonly vcpu: number | null;
  /** Null when no entry changed (a root that is gone). */
  readonly cause: Cause | null;
}

/** The address gained or lost the physical memory behind it. */
export interface PageEvent extends EventBase {
  readonly kind: 'page-in' | 'page-out';
  /** Exact: the offset of `va` within its page is in it. */
  readonly pa: Pa;
  /** Bytes that the mapping's leaf covers: 4 KiB, 2 MiB, 4 MiB or 1 GiB. */
  readonly pageSize: number;
  /** 4 KiB pages from `va` on, contiguous in both address spaces, that this event speaks for: 1 unless runs were asked for. */
  readonly pages: number;
}

/** Opt-in (rule E6): the backing stayed, the effective rights changed. */
export interface ProtectionEvent extends EventBase {
  readonly kind: 'protection';
  readonly pa: Pa;
  readonly pageSize: number;
  readonly oldRights: Rights;
  readonly newRights: Rights;
}

/** Opt-in (rule E6): the backing stayed, the size of the page that maps it changed. */
export interface RestructureEvent extends EventBase {
  readonly kind: 'restructure';
  readonly pa: Pa;
  readonly oldPageSize: number;
  readonly pageSize: number;
}

/** Opt-in (rules E6, R4): the address's top-level table is gone; nothing more will be said of it. */
export interface RootGoneEvent extends EventBase {
  readonly kind: 'root-gone';
  /** 4 KiB pages from `va` on: a range says this once, not page by page. */
  readonly pages: number;
}

export type MonitorEvent = PageEvent | ProtectionEvent | RestructureEvent | RootGoneEvent;

/** Kinds that are said only when asked for. */
export type OptInKind = 'protection' | 'restructure' | 'root-gone';
