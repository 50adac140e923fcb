/** The calls of a monitor that the rows measure. */
import type { MonitorEvent, Tag } from '../src/core/monitor/events.ts';

export interface Engine {
  monitor(request: { readonly root: number; readonly va: bigint; readonly tag: Tag }): void;
  monitorRange(request: {
    readonly root: number;
    readonly va: bigint;
    readonly byteLength: number;
    readonly tag: Tag;
  }): void;
  unmonitor(request: { readonly root: number; readonly va: bigint }): boolean;
  markDirtyEntry(pa: number, view: number, vcpu: number): boolean;
  processDirtyEntries(vcpu: number): readonly MonitorEvent[];
  resync(): readonly MonitorEvent[];
  monitoredEntries(): number;
}

export type EngineName = 'ptmon' | 'naive';
