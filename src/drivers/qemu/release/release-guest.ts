/** Has a guest run on that a client of its gdbstub has left: stopped, or with watchpoints that will stop it. */
import { expectFreeStub } from '../exact/free-stub.ts';
import { visitGdb } from '../gdb/gdb-visit.ts';
import type { QmpClient } from '../qmp/client.ts';
import { readRunState } from '../qmp/run-state.ts';

export interface ReleaseOptions {
  /** QEMU's `-gdb` socket. */
  readonly gdb: string;
  /** Without it the guest's state is unknown, and `isHeld` alone decides. */
  readonly qmp?: QmpClient | undefined;
  /** Another client of QEMU wants it stopped, as far as is known: watchpoints are cleared, and it stays stopped. */
  readonly isHeld: boolean;
  /** How long QEMU may take for each answer. */
  readonly timeoutMs: number;
}

export interface ReleaseOutcome {
  /** Whether watchpoints are cleared. */
  readonly isCleared: boolean;
  /** QEMU's word for the guest's state afterwards; undefined where QMP does not answer. */
  readonly state: string | undefined;
}

/** States in which a gdbstub's client may have left a guest, beside `paused`. In all others QEMU or another client wants it stopped. */
const OURS: ReadonlySet<string> = new Set(['running', 'debug']);

/**
 * Connects to the gdbstub, clears all watchpoints, and detaches. Where that does not work, QMP resumes the guest. Never throws.
 *
 * Does nothing while another debugger is connected: the guest is that one's.
 */
export async function releaseGuest({ gdb, qmp, isHeld, timeoutMs }: ReleaseOptions): Promise<ReleaseOutcome> {
  const state = () => qmp && readRunState(qmp, { timeoutMs }).catch(() => undefined);
  const before = await state();
  const mayRun = before === undefined || before === 'paused' ? !isHeld : OURS.has(before);
  let isCleared = false;
  try {
    if (qmp !== undefined) await expectFreeStub(qmp, gdb);
    const visit = await visitGdb(gdb, { leaveStopped: !mayRun, timeoutMs });
    await visit.leave();
    isCleared = true;
  } catch {
    // QMP is what is left.
  }
  const after = await state();
  // A vCPU may have run into a watchpoint while it was halted, and stops once more. A pause is another client's by now.
  const isStopped = after === 'debug' || (after === 'paused' && !isCleared);
  if (!mayRun || !isStopped || qmp === undefined) return { isCleared, state: after };
  await qmp.execute('cont', undefined, { timeoutMs }).catch(() => {});
  return { isCleared, state: await state() };
}
