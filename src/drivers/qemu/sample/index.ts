export { openQemuSampling, QemuSamplingDriver, type QemuSamplingOptions, type SamplingNotice } from './open.ts';
