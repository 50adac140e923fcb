export type {
  CommitEvent,
  Driver,
  GuestControl,
  MissedEvent,
  PagingRegisters,
  RegisterAccess,
  RemoteFetch,
  RootGoneEvent,
  SourceEvent,
  WriteEvent,
} from './driver.ts';
