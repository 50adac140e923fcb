export type {
  CommitEvent,
  Driver,
  EntryTraps,
  GuestControl,
  MissedEvent,
  PagingRegisters,
  RegisterAccess,
  RemoteFetch,
  RootGoneEvent,
  SourceEvent,
  WriteEvent,
} from './driver.ts';
export type { MemoryRegion, Snapshot } from './snapshot.ts';
