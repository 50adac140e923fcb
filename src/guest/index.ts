export { chooseVm } from './discovery/choose-vm.ts';
export { listVms, type Vm, type WatchMode } from './discovery/list-vms.ts';
export { type DumpedRange, dumpRange, type DumpRequest } from './memory/dump.ts';
export { type AbsentReason, absentReason } from './memory/absent-reason.ts';
export { search, type SearchOptions } from './memory/search.ts';
export {
  MAX_READ_BYTES,
  type AbsentPiece,
  type MemoryPiece,
  type MemorySource,
  type PresentPiece,
  VirtualMemory,
  type VirtualRange,
} from './memory/virtual-memory.ts';
export { attach, type AttachOptions, type GuestFile, type QemuSockets } from './attach.ts';
export type { Capabilities, Capability, CapabilityName } from './capabilities.ts';
export { Guest } from './guest.ts';
export { Moment } from './moment.ts';
export type { GuestMemory } from './memory/guest-memory.ts';
export { GuestProcess, type MemoryPart, type SymbolOptions, type WatchOptions } from './process.ts';
export type {
  Breakpoint,
  BreakpointHandler,
  BreakpointHit,
  BreakpointOptions,
  ProcessName,
} from './hooks/breakpoint.ts';
export type { HandlerOptions } from './hooks/handler.ts';
export type { ProcessEventName, ProcessHook } from './hooks/process-hooks.ts';
export type { ProcessWatchHandle } from './hooks/process-watch.ts';
export type { BatchWatch, FollowRequest } from './hooks/batch-watch.ts';
