/** A visit to the gdbstub under the eyes of the guardian. */
import { type GdbVisit, visitGdb, type VisitOptions } from '../gdb/gdb-visit.ts';
import { guardGuest } from './guard.ts';
import { mayRunAfterUs } from './release-guest.ts';
import { deferSuspension } from './suspension.ts';

export interface GuardedVisitOptions extends VisitOptions {
  /** QEMU's `-qmp` socket, which tells the guardian how the guest is left. */
  readonly qmp?: string | undefined;
  /** QEMU's word for the guest's state, asked when the visit ends: one that has migrated meanwhile must not be resumed. */
  readonly state?: () => Promise<string | undefined>;
}

/**
 * As `visitGdb`; any end of this process before `leave` returns has the guest run on as well. A process that is to be suspended meanwhile is
 * suspended when the visit has ended: what it reads is of one moment.
 *
 * @throws as `visitGdb`
 */
export async function visitGuarded(address: string, options: GuardedVisitOptions): Promise<GdbVisit> {
  const guard = guardGuest({ gdb: address, qmp: options.qmp, isHeld: options.leaveStopped });
  const end = deferSuspension();
  try {
    const visit = await visitGdb(address, options);
    const leave = async () => {
      const state = await options.state?.();
      await visit.leave(state === undefined || mayRunAfterUs(visit.leaveStopped)(state) ? {} : { leaveStopped: true });
      guard.done();
    };
    return { gdb: visit.gdb, leaveStopped: visit.leaveStopped, leave: () => leave().finally(end) };
  } catch (error) {
    // Connecting has ended with what a guest needs (`openConnection`).
    guard.done();
    end();
    throw error;
  }
}
