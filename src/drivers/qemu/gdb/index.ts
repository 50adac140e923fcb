export { type DetachOptions, GdbClient, type GdbOptions } from './client.ts';
export { type GdbVisit, visitGdb, type VisitOptions } from './gdb-visit.ts';
export type { StubFeatures } from './features.ts';
export type { GdbRegisters } from './registers.ts';
export { GDB_SIGNAL, type StopReply, type WatchHit } from './stop-reply.ts';
export { formatThreadId, type ThreadId } from './thread-id.ts';
export type { WriteWatch } from './write-watches.ts';
