/** The checks of `ptmon doctor`, and their outcomes. */
import { PtmonError } from '../../../core/error.ts';

/** In the order of the report. */
export const CHECK_TITLES = {
  qmp: 'QMP',
  state: 'guest',
  accelerator: 'accelerator',
  kvm: 'KVM here',
  vcpus: 'vCPUs',
  gdb: 'gdbstub',
  registers: 'registers',
  paging: 'paging',
  file: 'RAM file',
  process: "QEMU's memory",
  stub: 'gdbstub memory',
  aliases: 'table aliases',
  watchpoints: 'watchpoints',
  sampling: 'sampling',
  proof: 'proof',
  release: 'release',
} as const;

export type CheckName = keyof typeof CHECK_TITLES;

/** `missing`: the command line of QEMU or of ptmon lacks it; `skipped`: another check must succeed first. */
export type Outcome = 'ok' | 'missing' | 'failed' | 'skipped';

export interface Check {
  readonly name: CheckName;
  readonly outcome: Outcome;
  /** One line of text. */
  readonly detail: string;
  /** What to do: an option of QEMU, or a command. */
  readonly remedy?: string;
}

/** The errors of a source; others are faults of ptmon or of the command line. */
const SOURCE_ERRORS: ReadonlySet<string> = new Set(['source-unavailable', 'corrupt-input', 'read-failed']);

/** The outcome of a check that threw. @throws an error that is not of the source */
export function failedBy(name: CheckName, error: unknown, remedy?: string): Check {
  if (!(error instanceof PtmonError) || !SOURCE_ERRORS.has(error.code)) throw error;
  return { name, outcome: 'failed', detail: error.message, ...(remedy !== undefined && { remedy }) };
}

export function skipped(name: CheckName, detail: string): Check {
  return { name, outcome: 'skipped', detail };
}

export function isOk(checks: readonly Check[], ...names: readonly CheckName[]): boolean {
  return names.every((name) => checks.some((check) => check.name === name && check.outcome === 'ok'));
}
