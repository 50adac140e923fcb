/** Checks a VM, one property after the other, and leaves it as it was. */
import type { TextOutput } from '../../../sinks/text-output.ts';
import { type QmpClient, readPhysicalAddressBits } from '../../../drivers/qemu/index.ts';
import type { GuestMemory } from '../../../drivers/qemu/memory/index.ts';
import type { GdbVisit } from '../../../drivers/qemu/gdb/index.ts';
import { type Check, isOk, skipped } from './checks.ts';
import { samplingCheck, workingModes } from './conclusion.ts';
import { checkExact } from './exact-checks.ts';
import { checkGdb, gdbNotGiven, NO_GDB } from './gdb-checks.ts';
import { checkKvm } from './kvm-check.ts';
import { checkMemory, checkProof } from './memory-checks.ts';
import { checkQmp } from './qmp-checks.ts';
import { release } from './release.ts';
import { reportJson, reportText } from './report.ts';

export interface DoctorOptions {
  readonly qmp?: string;
  readonly gdb?: string;
  readonly ramFile?: string;
  readonly release?: boolean;
  /** How long QEMU may take for each reply, in milliseconds; defaults to 5,000. */
  readonly timeoutMs?: number;
}

/** What must be closed at the end. */
interface OpenParts {
  qmp?: QmpClient;
  visit?: GdbVisit;
  memory?: GuestMemory;
}

/** Prints the report. Returns whether the guest can be watched or, with `release`, whether it runs. @throws PtmonError as `examine` */
export async function runDoctor(
  options: DoctorOptions & { readonly json?: boolean },
  output: TextOutput,
  signal: AbortSignal,
): Promise<boolean> {
  const checks = await examine(options, signal);
  await output.write(options.json === true ? reportJson(checks) : await reportText(checks, output));
  return options.release === true ? isOk(checks, 'release') : workingModes(checks).length > 0;
}

/** @throws PtmonError `bad-argument` for a malformed address; the reason of `signal` when it is aborted */
export async function examine(options: DoctorOptions, signal: AbortSignal): Promise<readonly Check[]> {
  const { release: isRelease, gdb, qmp, timeoutMs } = options;
  if (isRelease === true && gdb !== undefined) {
    const limits = timeoutMs === undefined ? {} : { timeoutMs };
    return [await release({ gdb, ...(qmp !== undefined && { qmp }), ...limits }, signal)];
  }
  const open: OpenParts = {};
  try {
    return await runChecks(options, signal, open);
  } finally {
    // Every step is tried. The checks, or the error on its way, already report what fails here.
    for (const step of [() => open.visit?.leave(), () => open.memory?.close(), () => open.qmp?.close()]) {
      await Promise.resolve(step()).catch(() => {});
    }
  }
}

async function runChecks(options: DoctorOptions, signal: AbortSignal, open: OpenParts): Promise<readonly Check[]> {
  const limits = options.timeoutMs === undefined ? {} : { timeoutMs: options.timeoutMs };
  const { checks: qmpChecks, qmp, state } = await checkQmp(options.qmp, { ...limits, signal });
  const checks: Check[] = [...qmpChecks];
  if (qmp !== undefined) open.qmp = qmp;
  signal.throwIfAborted();
  // What a VM runs on is known; here is what a new one could run on.
  if (options.qmp === undefined) checks.push(await checkKvm(signal));

  const { checks: gdbChecks, visit } = await checkGdbIfSafe(options, state);
  checks.push(...gdbChecks);
  if (visit !== undefined) open.visit = visit;
  signal.throwIfAborted();

  const { ramFile } = options;
  const places = { ...(qmp && { qmp }), ...(visit && { gdb: visit.gdb }), ...(ramFile !== undefined && { ramFile }) };
  const { checks: memoryChecks, best } = await checkMemory(places);
  checks.push(...memoryChecks);
  if (best !== undefined) open.memory = best;
  signal.throwIfAborted();

  if (visit !== undefined && best !== undefined && isOk(checks, 'paging')) {
    const physicalAddressBits = qmp && (await readPhysicalAddressBits(qmp));
    const places = { gdb: visit.gdb, memory: best, physicalAddressBits, mayRun: state === 'running', signal };
    checks.push(...(await checkExact(places)));
  } else {
    const why = 'needs the gdbstub, readable memory, and a guest with paging on';
    checks.push(skipped('aliases', why), skipped('watchpoints', why));
  }
  checks.push(samplingCheck(checks));
  checks.push(await checkProof(isOk(checks, 'sampling') ? qmp : undefined));
  return checks;
}

/**
 * To connect to the gdbstub stops the guest, and only QMP tells whether it ran before. Without QMP this does not
 * connect.
 */
async function checkGdbIfSafe(options: DoctorOptions, state: string | undefined): ReturnType<typeof checkGdb> {
  const { gdb, timeoutMs } = options;
  if (gdb === undefined) return { checks: [gdbNotGiven(), ...NO_GDB] };
  if (state === undefined) {
    const why = 'not checked: connecting stops the guest, and only QMP tells whether it ran before';
    return { checks: [skipped('gdb', why), ...NO_GDB] };
  }
  return checkGdb(gdb, {
    leaveStopped: state !== 'running',
    qmp: options.qmp,
    ...(timeoutMs !== undefined && { timeoutMs }),
  });
}
