export type { Gfn, Pa, Va, Vpn } from './address/types.ts';
export { gfnOf, PAGE_BYTES, paOf, toPa } from './address/pa.ts';
export { hex, offsetOf, toU64, vaOf, vpnOf } from './address/va.ts';
export { PtmonError, type PtmonErrorCode, type PtmonErrorFacts } from './error.ts';
export {
  ACCESS_ALL,
  ACCESS_EXECUTE,
  ACCESS_READ,
  ACCESS_WRITE,
  type PageAccess,
  type PageProtection,
} from './memory/page-access.ts';
export {
  type PhysicalMemory,
  READ_NO_MEMORY,
  READ_NOT_FETCHED,
  READ_OK,
  type ReadOutcome,
} from './memory/physical-memory.ts';
export { PageCache, type PageCacheOptions } from './memory/page-cache.ts';
export { SparseMemory } from './memory/sparse-memory.ts';
export type {
  Address,
  Explanation,
  MonitorDump,
  MonitorOptions,
  RangeRequest,
  RangeWatchRequest,
  WatchRequest,
  WatchState,
} from './monitor/api.ts';
export type { CallInSteps } from './monitor/call-in-steps.ts';
export type {
  BackedRun,
  Cause,
  EventTime,
  MonitorEvent,
  OptInKind,
  PageEvent,
  ProtectionEvent,
  RestructureEvent,
  RootGoneEvent,
  Tag,
} from './monitor/events.ts';
export type { EntrySelection } from './monitor/inspect.ts';
export { type CompareScope, PageTableMonitor } from './monitor/page-table-monitor.ts';
export type { Gap } from './paging/pieces.ts';
export { type EnumerateOptions, type MappedRange, mappedRanges } from './paging/enumerate.ts';
export { isCanonical, type LevelFormat, makePaging, type Paging, type PagingOptions, rootOf } from './paging/format.ts';
export type { LeafRule, PagingMode, PagingModeName, TableLevel } from './paging/modes.ts';
export { type PagingControl, pagingFromRegisters } from './paging/registers.ts';
export type { Rights } from './paging/rights.ts';
export {
  type NoTranslation,
  type StopReason,
  type Translation,
  walk,
  type Walk,
  type WalkStep,
} from './paging/walk.ts';
