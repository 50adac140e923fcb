/** Looks at a VM, one thing after the other, and leaves it as it was. */
import { type QmpClient, readPhysicalAddressBits } from '../../../drivers/qemu/index.ts';
import type { GuestMemory } from '../../../drivers/qemu/memory/index.ts';
import type { GdbVisit } from '../../../drivers/qemu/gdb/index.ts';
import { canBeLetRun } from '../../live/run-state.ts';
import { type Check, isOk, skipped } from './checks.ts';
import { samplingCheck } from './conclusion.ts';
import { checkExact } from './exact-checks.ts';
import { checkGdb, gdbNotGiven, NO_GDB } from './gdb-checks.ts';
import { checkMemory } from './memory-checks.ts';
import { checkQmp } from './qmp-checks.ts';
import { release } from './release.ts';

export interface DoctorOptions {
  readonly qmp?: string;
  readonly gdb?: string;
  readonly ramFile?: string;
  readonly release?: boolean;
  /** How long QEMU may take for each answer, in milliseconds; 5,000 unless told. */
  readonly timeoutMs?: number;
}

/** What must be let go of. */
interface Held {
  qmp?: QmpClient;
  visit?: GdbVisit;
  memory?: GuestMemory;
}

/** @throws PtmonError `bad-argument` for a malformed address; the reason of `signal` when it is aborted */
export async function examine(options: DoctorOptions, signal: AbortSignal): Promise<readonly Check[]> {
  const held: Held = {};
  try {
    return await look(options, signal, held);
  } finally {
    // Each is tried; of what fails here, the checks have told or the error that is under way does.
    for (const step of [() => held.visit?.leave(), () => held.memory?.close(), () => held.qmp?.close()]) {
      await Promise.resolve(step()).catch(() => {});
    }
  }
}

async function look(options: DoctorOptions, signal: AbortSignal, held: Held): Promise<readonly Check[]> {
  const limits = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs };
  const { checks: said, qmp, state } = await checkQmp(options.qmp, { ...limits, signal });
  const checks: Check[] = [...said];
  if (qmp !== undefined) held.qmp = qmp;
  signal.throwIfAborted();

  const { checks: gdbSaid, visit } = await lookAtGdb(options, state);
  checks.push(...gdbSaid);
  if (visit !== undefined) held.visit = visit;
  signal.throwIfAborted();

  const { ramFile } = options;
  const places = { ...(qmp && { qmp }), ...(visit && { gdb: visit.gdb }), ...(ramFile !== undefined && { ramFile }) };
  const { checks: memorySaid, best } = await checkMemory(places);
  checks.push(...memorySaid);
  if (best !== undefined) held.memory = best;
  signal.throwIfAborted();

  if (visit !== undefined && best !== undefined && isOk(checks, 'paging')) {
    const physicalAddressBits = qmp && (await readPhysicalAddressBits(qmp));
    const places = { gdb: visit.gdb, memory: best, physicalAddressBits, mayRun: state === 'running', signal };
    checks.push(...(await checkExact(places)));
  } else {
    const why = 'it takes the gdbstub, memory, and a guest whose paging is on';
    checks.push(skipped('aliases', why), skipped('watchpoints', why));
  }
  checks.push(samplingCheck(checks));
  if (options.release === true) checks.push(await release(visit, qmp, state));
  return checks;
}

/**
 * Without QMP nobody knows whether the guest ran before the visit, which stops it: it is looked at only if it is to run afterwards
 * anyway.
 */
async function lookAtGdb(options: DoctorOptions, state: string | undefined): ReturnType<typeof checkGdb> {
  const { gdb, release, timeoutMs } = options;
  if (gdb === undefined) return { checks: [gdbNotGiven(), ...NO_GDB] };
  if (state === undefined && release !== true) {
    const why = 'not looked at: to connect stops the guest, and only QMP says whether it ran before';
    return { checks: [skipped('gdb', why), ...NO_GDB] };
  }
  const isToRun = state === undefined || state === 'running' || (release === true && canBeLetRun(state));
  return checkGdb(gdb, { leaveStopped: !isToRun, ...(timeoutMs !== undefined && { timeoutMs }) });
}
