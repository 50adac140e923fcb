export { openQemu, QemuDriver, type QemuOptions, type RunNotice, type StopStatistics } from './exact/index.ts';
export { openQemuSampling, QemuSamplingDriver, type QemuSamplingOptions } from './sample/index.ts';
export {
  type DetachOptions,
  GDB_SIGNAL,
  GdbClient,
  type GdbOptions,
  type GdbRegisters,
  formatThreadId,
  type StopReply,
  type StubFeatures,
  type ThreadId,
  type WatchHit,
  type WriteWatch,
} from './gdb/index.ts';
export {
  type Accelerator,
  chooseKernel,
  type CommandOptions,
  findKernels,
  findPrograms,
  findQemu,
  findWorkloadRoot,
  guestDirectory,
  type GuestKernel,
  type GuestPrograms,
  launchGuest,
  type LaunchedGuest,
  type LaunchOptions,
  type OtherReport,
  pagesOf,
  type PagesReport,
  prepareGuest,
  type PrepareOptions,
  type SerialPort,
  type Workload,
  type WorkloadHello,
  type WorkloadReport,
} from './launch/index.ts';
export type { GuestMemoryKind } from './memory/open-memory.ts';
export {
  type MonitorCommandOptions,
  QmpClient,
  type QmpCommandOptions,
  type QmpEvent,
  type QmpGreeting,
  type QmpObject,
  type QmpOptions,
  type QmpRefusal,
  qmpRefusalOf,
  readPhysicalAddressBits,
  readRunState,
} from './qmp/index.ts';
export { openQemuSnapshot, type QemuSnapshotOptions } from './snapshot/open-snapshot.ts';
