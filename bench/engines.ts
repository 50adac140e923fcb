/** The engines that are measured. */
import { PageTableMonitor } from '../src/core/monitor/page-table-monitor.ts';
import type { Engine, EngineName } from './engine.ts';
import { NaiveMonitor } from './naive.ts';
import type { World } from './world.ts';

export type MakeEngine = (world: World) => Engine;

export const ENGINES: Readonly<Record<EngineName, MakeEngine>> = {
  ptmon: ({ memory, layout }) => new PageTableMonitor({ memory, protection: memory, paging: { mode: layout.mode } }),
  naive: ({ memory, layout }) => new NaiveMonitor(memory, memory, layout.mode === '5-level' ? 5 : 4),
};
