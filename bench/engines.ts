/** The engines that are measured. */
import { PageTableMonitor } from '../src/core/monitor/page-table-monitor.ts';
import type { Engine, EngineName } from './engine.ts';
import { NaiveMonitor } from './naive.ts';
import type { World } from './world.ts';

export type MakeEngine = (world: World) => Engine;

/** @param Monitor that of `src/`, or of another day */
export function makerOf(Monitor: typeof PageTableMonitor): MakeEngine {
  return ({ memory, layout }) => new Monitor({ memory, protection: memory, paging: { mode: layout.mode } });
}

export const ENGINES: Readonly<Record<EngineName, MakeEngine>> = {
  ptmon: makerOf(PageTableMonitor),
  naive: ({ memory, layout }) => new NaiveMonitor(memory, memory, layout.mode === '5-level' ? 5 : 4),
};
