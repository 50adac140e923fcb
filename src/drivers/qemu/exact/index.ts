export { QemuDriver, type StopStatistics } from './driver.ts';
export { openQemu, type QemuOptions } from './open.ts';
