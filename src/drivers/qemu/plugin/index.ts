export { QemuPluginDriver, type PluginStatistics } from './driver.ts';
export { openQemuPlugin, type QemuPluginOptions } from './open.ts';
export { buildPlugin } from './build.ts';
