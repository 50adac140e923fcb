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
