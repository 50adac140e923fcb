export { QemuDriver } from './driver.ts';
export type { StopStatistics } from './parts.ts';
export { openQemu, type QemuOptions } from './open.ts';
export type { WatchpointLimits } from './limits.ts';
export type { MissedWritesNotice } from './comparing/missed-writes.ts';
export type { RunNotice } from './running/run-notice.ts';
export { unmappedWords } from './aliases/unmapped-tables.ts';
