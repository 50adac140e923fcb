export type {
  BreakpointAccess,
  CommitEvent,
  Driver,
  EntryTraps,
  MissedEvent,
  PagingRegisters,
  RegisterAccess,
  RemoteFetch,
  RootGoneEvent,
  SourceEvent,
  TakeAtOnce,
  WriteEvent,
} from './driver.ts';
export type { LongWorkOptions, Progress } from './pacer.ts';
export type {
  EventName,
  EventNames,
  SessionBeginning,
  SessionEnd,
  SessionRecorder,
  SessionScript,
} from './session-parts.ts';
export type { KernelRoot, MemoryRegion, Snapshot } from './snapshot.ts';
export type {
  AddressCall,
  AddressRequest,
  AllCall,
  RangeCall,
  RangeRequest,
  RootGoneCall,
  ViewCall,
  WatchCall,
  WatchTarget,
} from './watch-calls.ts';
