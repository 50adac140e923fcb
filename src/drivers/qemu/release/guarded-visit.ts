/** A visit to the gdbstub under the eyes of the guardian. */
import { type GdbVisit, visitGdb, type VisitOptions } from '../gdb/gdb-visit.ts';
import { guardGuest } from './guard.ts';
import { mayRunAfterUs } from './release-guest.ts';

export interface GuardedVisitOptions extends VisitOptions {
  /** QEMU's `-qmp` socket, which tells the guardian how the guest is left. */
  readonly qmp?: string | undefined;
  /** QEMU's word for the guest's state, asked when the visit ends: one that has migrated meanwhile must not be resumed. */
  readonly state?: () => Promise<string | undefined>;
}

/** As `visitGdb`; any end of this process before `leave` returns has the guest run on as well. @throws as `visitGdb` */
export async function visitGuarded(address: string, options: GuardedVisitOptions): Promise<GdbVisit> {
  const guard = guardGuest({ gdb: address, qmp: options.qmp, isHeld: options.leaveStopped });
  try {
    const visit = await visitGdb(address, options);
    return {
      gdb: visit.gdb,
      leave: async () => {
        const state = await options.state?.();
        await visit.leave(
          state === undefined || mayRunAfterUs(options.leaveStopped)(state) ? {} : { leaveStopped: true },
        );
        guard.done();
      },
    };
  } catch (error) {
    // Connecting has ended with what a guest needs (`openConnection`).
    guard.done();
    throw error;
  }
}
