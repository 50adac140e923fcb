export { chooseVm } from './discovery/choose-vm.ts';
export { listVms, type Vm, type WatchMode } from './discovery/list-vms.ts';
export { type DumpedRange, dumpRange, type DumpRequest } from './memory/dump.ts';
export { search, type SearchOptions } from './memory/search.ts';
export {
  type AbsentPiece,
  type AbsentReason,
  type MemoryPiece,
  type MemorySource,
  type PresentPiece,
  VirtualMemory,
} from './memory/virtual-memory.ts';
export { attach, type AttachOptions, type QemuSockets } from './attach.ts';
export type { Capabilities, Capability, CapabilityName } from './capabilities.ts';
export { Guest } from './guest.ts';
export { Moment } from './moment.ts';
export { GuestProcess, type MemoryPart, type VirtualRange, type WatchOptions } from './process.ts';
export type {
  Breakpoint,
  BreakpointHandler,
  BreakpointHit,
  BreakpointOptions,
  ProcessName,
} from './live/breakpoint.ts';
export type { ProcessWatchHandle } from './live/process-watch.ts';
export type { WatchedPage } from './live/watched-page.ts';
export type { BatchWatch, FollowRequest } from './live/batch-watch.ts';
