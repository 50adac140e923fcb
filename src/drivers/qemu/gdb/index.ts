export { type ContinueOptions, GdbClient } from './client.ts';
export type { GdbOptions } from './connect.ts';
export type { DetachOptions } from './leave.ts';
export type { GdbVisit } from './gdb-visit.ts';
export type { StubFeatures } from './reply/features.ts';
export type { GdbRegisters } from './reply/registers.ts';
export { GDB_SIGNAL, type StopReply, type WatchHit } from './reply/stop-reply.ts';
export { formatThreadId, type ThreadId } from './reply/thread-id.ts';
export type { WriteWatch } from './write-watches.ts';
