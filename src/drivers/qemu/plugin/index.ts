export { QemuPluginDriver, type PluginStatistics } from './driver.ts';
export { openQemuPlugin, type QemuPluginOptions } from './open.ts';
export { buildCommand, buildPlugin, PLUGIN_SOURCE } from './build.ts';
