export { openQemuSampling, QemuSamplingDriver, type QemuSamplingOptions } from './open.ts';
