/** `--release`: resumes a guest that a client has left paused. Ends within five seconds, whatever the guest and QEMU do. */
import { setTimeout } from 'node:timers/promises';
import { QmpClient } from '../../../drivers/qemu/index.ts';
import { type ReleaseOutcome, releaseGuest } from '../../../drivers/qemu/release/release-guest.ts';
import type { Check } from './checks.ts';
import { canResume } from './run-state.ts';

/** For each answer of QEMU. */
const ANSWER_MS = 700;
const LIMIT_MS = 4500;

export interface ReleaseAddresses {
  readonly qmp?: string;
  readonly gdb: string;
  readonly timeoutMs?: number;
}

/** Nothing of the guest's memory is read: its tables may be hostile. @throws PtmonError `bad-argument` for a malformed address */
export async function release(addresses: ReleaseAddresses, signal: AbortSignal): Promise<Check> {
  const late = setTimeout(LIMIT_MS, undefined, { ref: false }).then(() =>
    failed(`QEMU took longer than ${LIMIT_MS} ms`),
  );
  return Promise.race([releaseAt(addresses, signal), late]);
}

async function releaseAt({ qmp: address, gdb, timeoutMs }: ReleaseAddresses, signal: AbortSignal): Promise<Check> {
  const limits = { timeoutMs: Math.min(timeoutMs ?? ANSWER_MS, ANSWER_MS) };
  // Whatever is wrong with QMP, the gdbstub may be sound.
  const qmp =
    address === undefined ? undefined : await QmpClient.connect(address, { ...limits, signal }).catch(() => undefined);
  signal.throwIfAborted();
  try {
    const mayRun = (state: string | undefined) => state === undefined || canResume(state);
    return outcomeOf(await releaseGuest({ gdb, qmp, mayRun, ...limits }));
  } finally {
    await qmp?.close();
  }
}

function outcomeOf({ failure, before, after }: ReleaseOutcome): Check {
  if (failure !== undefined) {
    const runs = after === 'running' ? 'the guest runs now, resumed by QMP, but ' : '';
    const isStopped = after === undefined || after === 'running' ? '' : `; the guest is ${after}`;
    return failed(`${runs}watchpoints were not cleared, and may stop it again: ${failure.message}${isStopped}`);
  }
  if (before === undefined) return ok('watchpoints cleared, and the guest resumed');
  if (!canResume(before)) return failed(`watchpoints cleared; the guest stays ${before}`);
  if (after !== 'running')
    return failed(`watchpoints cleared, but the guest does not run: ${after ?? 'QMP fell silent'}`);
  return ok(
    `watchpoints cleared; ${before === 'running' ? 'the guest ran before, and still runs' : `the guest was stopped (${before}), and runs now`}`,
  );
}

function ok(detail: string): Check {
  return { name: 'release', outcome: 'ok', detail };
}

function failed(detail: string): Check {
  return { name: 'release', outcome: 'failed', detail };
}
