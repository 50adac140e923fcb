/** What is put to the proof: the engine, or anything that claims to do the same. */
import type {
  Address,
  MonitorDump,
  MonitorOptions,
  RangeRequest,
  WatchRequest,
  WatchState,
} from '../../src/core/monitor/api.ts';
import type { Explanation, RangeWatchRequest } from '../../src/core/monitor/api.ts';
import type { BackedRun, MonitorEvent, Tag } from '../../src/core/monitor/events.ts';

export interface Subject {
  monitor(request: WatchRequest): void;
  monitorRange(request: RangeWatchRequest): void;
  unmonitor(request: WatchRequest): boolean;
  unmonitorRange(request: RangeRequest & { readonly tag?: Tag }): boolean;
  unmonitorByForce(address: Address): boolean;
  unmonitorView(view: number): void;
  unmonitorAll(): void;
  rootGone(root: number | bigint, view?: number): MonitorEvent[];
  markDirtyEntry(pa: number, view: number, vcpu: number): boolean;
  markDirty(pa: number, byteLength: number, view: number, vcpu: number): boolean;
  processDirtyEntries(vcpu: number): MonitorEvent[];
  resync(view?: number): MonitorEvent[];
  monitoredTables(): number;
  monitoredEntries(): number;
  pagedInEntries(): number;
  state(address: Address): WatchState | undefined;
  backedRuns(request: RangeRequest): readonly BackedRun[];
  explain(address: Address): Explanation;
  dump(): MonitorDump;
  /** Of the engine, which traps may ask for. */
  readonly entryVersion?: number;
  entryAddresses?(): Float64Array;
}

export type MakeSubject = (options: MonitorOptions) => Subject;
