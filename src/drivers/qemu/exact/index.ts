export { QemuDriver } from './driver.ts';
export type { StopStatistics } from './parts.ts';
export { openQemu, type QemuOptions } from './open.ts';
export type { WatchpointLimits } from './limits.ts';
export type { MissedWritesNotice } from './missed-writes.ts';
export type { RunNotice } from './run-control.ts';
export { unmappedWords } from './aliases/unmapped-tables.ts';
