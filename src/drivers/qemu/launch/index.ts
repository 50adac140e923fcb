export { type KvmTrial, type TrialOptions, tryKvm } from './try-kvm.ts';
export { findWorkloadRoot } from './find-root.ts';
/** Guests of our own: QEMU, a Linux kernel from Debian, and a workload inside that does what it is told. */
export type { Accelerator } from './command-line.ts';
export { findQemu } from './find-qemu.ts';
export { chooseKernel, findKernels, findPrograms, guestDirectory } from './guest-files.ts';
export type { GuestKernel, GuestPrograms } from './guest-files.ts';
export { launchGuest } from './launch.ts';
export type { LaunchedGuest, LaunchOptions } from './launch.ts';
export { prepareGuest } from './prepare-guest.ts';
export type { PrepareOptions } from './prepare-guest.ts';
export type { SerialPort } from './serial-port.ts';
export type { CommandOptions, Workload } from './workload.ts';
export { pagesOf } from './workload-report.ts';
export type { OtherReport, PagesReport, WorkloadHello, WorkloadReport } from './workload-report.ts';
