/** What is measured: the calls of the monitor that the rows make, whoever implements them. */
import type { MonitorEvent, Tag } from '../src/core/monitor/events.ts';
import { PageTableMonitor } from '../src/core/monitor/page-table-monitor.ts';
import { NaiveMonitor } from './naive.ts';
import type { World } from './world.ts';

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
export type MakeEngine = (world: World) => Engine;

export const ENGINES: Readonly<Record<EngineName, MakeEngine>> = {
  ptmon: ({ memory, layout }) => new PageTableMonitor({ memory, protection: memory, paging: { mode: layout.mode } }),
  naive: ({ memory, layout }) => new NaiveMonitor(memory, memory, layout.mode === '5-level' ? 5 : 4),
};
