/** A visit to the gdbstub, which stops the guest: whatever ends it, the guest runs on if it is to. */
import process from 'node:process';
import { GdbClient } from './client.ts';
import type { DetachOptions } from './leave.ts';

export interface GdbVisit {
  readonly gdb: GdbClient;
  /** Whether the guest is left stopped: it was to be, and did not run when this client connected. */
  readonly leaveStopped: boolean;
  /** Ends it. May be called again. @throws PtmonError where the guest may have been left stopped */
  leave(options?: DetachOptions): Promise<void>;
}

export interface VisitOptions {
  /** For a guest that was stopped before. Another client may resume it until the connection is made: then it runs on all the same. */
  readonly leaveStopped: boolean;
  /** How long the stub may take for each answer. */
  readonly timeoutMs?: number;
}

/**
 * Connects. Cannot be aborted before it is done: who breaks off then leaves the guest as it stands.
 *
 * @throws PtmonError as `GdbClient.connect`
 */
export async function visitGdb(address: string, options: VisitOptions): Promise<GdbVisit> {
  const gdb = await GdbClient.connect(address, options);
  const leaveStopped = options.leaveStopped && !gdb.ranBefore;
  const abandon = () => gdb.abandon({ leaveStopped });
  process.on('exit', abandon);
  return {
    gdb,
    leaveStopped,
    leave: async (how = {}) => {
      try {
        await gdb.detach({ leaveStopped, ...how });
      } finally {
        process.off('exit', abandon);
      }
    },
  };
}
