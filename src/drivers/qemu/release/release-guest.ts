/** Has a guest run on that a client of its gdbstub has left: stopped, or with watchpoints that will stop it. */
import { PtmonError } from '../../../core/error.ts';
import { expectFreeStub } from '../exact/free-stub.ts';
import { visitGdb } from '../gdb/gdb-visit.ts';
import type { QmpClient } from '../qmp/client.ts';
import { qmpRefusalOf } from '../qmp/pending-commands.ts';
import { readRunState } from '../qmp/run-state.ts';

export interface ReleaseOptions {
  /** QEMU's `-gdb` socket. */
  readonly gdb: string;
  readonly qmp?: QmpClient | undefined;
  /** Whether a guest in this state is to run; undefined where QMP does not tell its state. Otherwise only watchpoints are cleared. */
  readonly mayRun: (state: string | undefined) => boolean;
  /** How long QEMU may take for each answer. */
  readonly timeoutMs: number;
}

export interface ReleaseOutcome {
  /** Why watchpoints could not be cleared; undefined where they are. */
  readonly failure: PtmonError | undefined;
  /** QEMU's word for the guest's state; undefined where QMP does not answer. */
  readonly before: string | undefined;
  readonly after: string | undefined;
}

/**
 * For a guest that this program has left stopped. One that is `paused` was stopped by this program or by another client of QEMU; all other
 * states but these belong to QEMU or to another client.
 *
 * @param isHeld whether another client wanted it stopped, as far as is known
 */
export function mayRunAfterUs(isHeld: boolean): ReleaseOptions['mayRun'] {
  return (state) => {
    if (state === undefined || state === 'paused') return !isHeld;
    return state === 'running' || state === 'debug';
  };
}

/**
 * Connects to the gdbstub, clears all watchpoints, and detaches. Where that does not work, or another debugger is connected, QMP resumes
 * the guest; watchpoints may stop it again then. Takes a few of the time limits at most, and throws no PtmonError.
 */
export async function releaseGuest({ gdb, qmp, mayRun, timeoutMs }: ReleaseOptions): Promise<ReleaseOutcome> {
  let canAsk = qmp !== undefined;
  const ask = async <T>(question: (qmp: QmpClient) => Promise<T>): Promise<T | undefined> => {
    if (qmp === undefined || !canAsk) return undefined;
    // One that does not answer once is not asked again: that would take as long each time.
    return question(qmp).catch((error: unknown) => {
      canAsk = qmpRefusalOf(error) !== undefined;
      return undefined;
    });
  };
  const state = () => ask((asked) => readRunState(asked, { timeoutMs }));
  const before = await state();
  let isToRun = mayRun(before);
  let failure: PtmonError | undefined;
  try {
    if (qmp !== undefined && canAsk) await expectFreeStub(qmp, gdb, { timeoutMs });
    const visit = await visitGdb(gdb, { leaveStopped: !isToRun, timeoutMs });
    // Another client has resumed it since it was asked.
    if (!visit.leaveStopped) isToRun = true;
    await visit.leave();
  } catch (error) {
    if (!(error instanceof PtmonError)) throw error;
    failure = error;
  }
  const after = await state();
  // A vCPU may have run into a watchpoint while it was halted, and stops once more. Any other pause is another client's by now.
  const isStopped = after !== 'running' && (failure !== undefined || after === 'debug');
  if (!isToRun || !isStopped || after === undefined || !mayRun(after)) return { failure, before, after };
  await ask((asked) => asked.execute('cont', undefined, { timeoutMs }));
  return { failure, before, after: await state() };
}
