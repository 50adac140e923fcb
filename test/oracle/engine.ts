/** The engine under test. */
import { PageTableMonitor } from '../../src/core/monitor/page-table-monitor.ts';
import type { MakeSubject } from './subject.ts';

export const engine: MakeSubject = (options) => new PageTableMonitor(options);
