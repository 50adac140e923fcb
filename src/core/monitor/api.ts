/** The types of the monitor's public calls. */
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
  /** Absent for sources that find changes by comparing memory (`resync`). */
  readonly protection?: PageProtection;
  readonly paging: Paging | PagingOptions;
  /** Event kinds beyond page-in and page-out. */
  readonly kinds?: readonly OptInKind[];
  /**
   * Receives each protection that could not be restored, once (rule C9). The monitor tries again at its next call. A fault is
   * not an error of the call during which it happened. Also receives `range-limit`, once for each address space (`maxRangePages`).
   */
  readonly onFault?: (fault: PtmonError) => void;
  /**
   * Limit for the ranges of one address space. Despite its name it counts entries, not pages: all entries of the tables on their walks.
   * Bounds the time and memory that tables which point at each other can cost: a table counts once for each path to it, and all paths
   * after the first may use a 16th of the limit.
   * Entries beyond it are not followed: `onFault` receives `range-limit`, and `state` says `unknown` for the pages below. Single
   * addresses have no limit. Defaults to 2^23: the entries of page tables for 32 GiB.
   */
  readonly maxRangePages?: number;
  /**
   * Whether common writes take a shorter way through the monitor (`fast-path/`). Defaults to true. Without it, events and states are the
   * same; events of one batch may come in another order. It is there for measuring, and to rule the fast path out when a result looks wrong.
   */
  readonly fastPath?: boolean;
}

/** One virtual address of one address space, seen through one view. */
export interface Address {
  /** Defaults to 0. */
  readonly view?: number;
  /** A CR3 value or the root's physical address: the bits that are not the root's address do not matter (rule T2). */
  readonly root: number | bigint;
  /** 64 bits, canonical for the mode (rule T3). A number must be a safe integer. */
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
  /** One event for a run of neighbouring pages that changed alike, instead of one for each page. Defaults to false. */
  readonly runs?: boolean;
}

/** The state of one watched address: what the monitor last reported, or found when the watch began. */
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
  /**
   * Present where the state of a page of a range is not known, and then why: its tables are beyond `MonitorOptions.maxRangePages`.
   * `explain` still walks memory.
   */
  readonly unknown?: 'range-limit';
  /** `monitor` calls that `unmonitor` has not released yet, ranges that cover the address included. */
  readonly references: number;
}

/** A fresh walk of memory, beside the monitor's state. */
export interface Explanation {
  /** Undefined when the address is not watched. */
  readonly state: WatchState | undefined;
  readonly walk: Walk;
}

/** Everything that a monitor knows, in an order that depends on its content alone. */
export interface MonitorDump {
  readonly mode: string;
  /** Ordered by view, root, va. One record for each watched address; pages of ranges are under `ranges`. */
  readonly addresses: readonly WatchState[];
  /** Ordered by view, root, va: the disjoint segments of overlapping ranges. */
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
    /** The access that the monitor will restore; null where the source has no protection. */
    readonly capturedAccess: PageAccess | null;
    /** Monitored slots, ascending. */
    readonly slots: readonly number[];
  }[];
  /** Writes in flight on protected tables: for each vCPU the entries that it has marked, ascending. */
  readonly marks: readonly { readonly vcpu: number; readonly entries: readonly Pa[] }[];
}
