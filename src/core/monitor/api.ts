/** The words of the monitor's public calls. */
import type { Pa, Va } from '../address/types.ts';
import type { PtmonError } from '../error.ts';
import type { PageAccess, PageProtection } from '../memory/page-access.ts';
import type { PhysicalMemory } from '../memory/physical-memory.ts';
import type { Paging, PagingOptions } from '../paging/format.ts';
import type { Rights } from '../paging/rights.ts';
import type { Walk } from '../paging/walk.ts';
import type { OptInKind, Tag } from './events.ts';

export interface MonitorOptions {
  readonly memory: PhysicalMemory;
  /** Absent for sources that find changes by comparing (`resync`). */
  readonly protection?: PageProtection;
  readonly paging: Paging | PagingOptions;
  /** Event kinds beyond page-in and page-out. */
  readonly kinds?: readonly OptInKind[];
  /**
   * Told, once for each, of protections that could not be restored (rule C9). The monitor tries again at its next call; a
   * fault is not an error of the call during which it happened.
   */
  readonly onFault?: (fault: PtmonError) => void;
}

/** One virtual address of one address space, seen through one view. */
export interface Address {
  /** 0 unless told. */
  readonly view?: number;
  /** A CR3 value or the root's physical address: the bits that are not the root's address do not matter (rule T2). */
  readonly root: number | bigint;
  /** 64 bits, canonical for the mode (rule T3). A number is taken where it is exact. */
  readonly va: number | bigint;
}

export interface WatchRequest extends Address {
  readonly tag?: Tag;
}

/** Every page that [va, va + byteLength) touches. */
export interface RangeRequest extends WatchRequest {
  /** Bytes, at least 1. */
  readonly byteLength: number | bigint;
}

export interface RangeWatchRequest extends RangeRequest {
  /** One event for a run of neighbouring pages that changed alike, instead of one a page. False unless told. */
  readonly runs?: boolean;
}

/** What the monitor holds true of one watched address: what it last reported, or found when the watch began. */
export interface WatchState {
  readonly view: number;
  readonly root: Pa;
  readonly va: Va;
  /** Null when the address is not backed. */
  readonly pa: Pa | null;
  /** Bytes that the leaf maps; null when the address is not backed. */
  readonly pageSize: number | null;
  /** Null when the address is not backed. */
  readonly rights: Rights | null;
  readonly tags: readonly Tag[];
  /** `monitor` calls that `unmonitor` has not released yet, ranges that cover the address included. */
  readonly references: number;
}

/** A fresh walk of memory, beside what the monitor holds. */
export interface Explanation {
  /** Undefined when the address is not watched. */
  readonly state: WatchState | undefined;
  readonly walk: Walk;
}

/** Everything that a monitor holds, in an order that depends on nothing but its content. */
export interface MonitorDump {
  readonly mode: string;
  /** Ordered by view, root, va. One record a watched address; pages of ranges are under `ranges`. */
  readonly addresses: readonly WatchState[];
  /** Ordered by view, root, va; the pieces that overlapping ranges were cut into. */
  readonly ranges: readonly {
    readonly view: number;
    readonly root: Pa;
    readonly va: Va;
    readonly byteLength: bigint;
    readonly tags: readonly Tag[];
    readonly references: number;
  }[];
  /** Protected tables, ordered by view and address. */
  readonly tables: readonly {
    readonly view: number;
    readonly pa: Pa;
    /** What will be restored; null where the source has no protection. */
    readonly capturedAccess: PageAccess | null;
    /** Monitored slots, ascending. */
    readonly slots: readonly number[];
  }[];
  /** Writes in flight on protected tables: for each vCPU the entries it has marked, ascending. */
  readonly marks: readonly { readonly vcpu: number; readonly entries: readonly Pa[] }[];
}
