/** A visit to the gdbstub, which stops the guest: whatever ends it, the guest runs on if it is to. */
import process from 'node:process';
import { GdbClient } from './client.ts';
import type { DetachOptions } from './leave.ts';

export interface GdbVisit {
  readonly gdb: GdbClient;
  /** Ends it. May be called again. @throws PtmonError where the guest may have been left stopped */
  leave(options?: DetachOptions): Promise<void>;
}

export interface VisitOptions {
  /** For a guest that was stopped before. */
  readonly leaveStopped: boolean;
  /** How long the stub may take for each answer. */
  readonly timeoutMs?: number;
}

/**
 * Connects. Cannot be aborted before it is done: who breaks off then leaves the guest as it stands.
 *
 * @throws PtmonError as `GdbClient.connect`
 */
export async function visitGdb(address: string, { leaveStopped, timeoutMs }: VisitOptions): Promise<GdbVisit> {
  const gdb = await GdbClient.connect(address, { leaveStopped, ...(timeoutMs !== undefined && { timeoutMs }) });
  const abandon = () => gdb.abandon({ leaveStopped });
  process.on('exit', abandon);
  return {
    gdb,
    leave: async (options = {}) => {
      try {
        await gdb.detach({ leaveStopped, ...options });
      } finally {
        process.off('exit', abandon);
      }
    },
  };
}
