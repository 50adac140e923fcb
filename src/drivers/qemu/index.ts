export {
  type MissedWritesNotice,
  openQemu,
  QemuDriver,
  type QemuOptions,
  type RunNotice,
  type StopStatistics,
  unmappedWords,
  type WatchpointLimits,
} from './exact/index.ts';
export {
  buildPlugin,
  openQemuPlugin,
  type PluginStatistics,
  QemuPluginDriver,
  type QemuPluginOptions,
} from './plugin/index.ts';
export { openQemuSampling, QemuSamplingDriver, type QemuSamplingOptions, type SamplingNotice } from './sample/index.ts';
export {
  type DetachOptions,
  GDB_SIGNAL,
  type ContinueOptions,
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
  type KvmTrial,
  type PagesReport,
  prepareGuest,
  type PrepareOptions,
  type SerialPort,
  type Workload,
  type WorkloadHello,
  type WorkloadReport,
  type TrialOptions,
  tryKvm,
} from './launch/index.ts';
export type { SocketAddress } from './transport/socket-address.ts';
export type { GuestMemoryKind } from './memory/open-memory.ts';
export {
  runsOnKvm,
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
  type PrintedRegisters,
  readPrintedRegisters,
  readRunState,
} from './qmp/index.ts';
export {
  type BackgroundImage,
  type BackgroundImageOptions,
  saveBackgroundImage,
} from './snapshot/background-image.ts';
export { openQemuSnapshot, type QemuSnapshotOptions } from './snapshot/open-snapshot.ts';
