/** The engine under test, with the fast path and without. */
import { PageTableMonitor } from '../../src/core/monitor/page-table-monitor.ts';
import type { MakeSubject } from './subject.ts';

export const ENGINES = {
  'with the fast path': (options) => new PageTableMonitor({ ...options, fastPath: true }),
  'without the fast path': (options) => new PageTableMonitor({ ...options, fastPath: false }),
} as const satisfies Readonly<Record<string, MakeSubject>>;

export type EngineName = keyof typeof ENGINES;

export const ENGINE_NAMES = Object.keys(ENGINES) as EngineName[];
