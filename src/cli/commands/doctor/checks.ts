/** What the doctor looks at, and what it finds. */
import { PtmonError } from '../../../core/error.ts';

/** In the order in which they are shown. */
export const CHECK_TITLES = {
  qmp: 'QMP',
  state: 'guest',
  accelerator: 'accelerator',
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
  release: 'release',
} as const;

export type CheckName = keyof typeof CHECK_TITLES;

/** `missing`: QEMU was not given it, or was not asked for it; `skipped`: it cannot be looked at without another one. */
export type Outcome = 'ok' | 'missing' | 'failed' | 'skipped';

export interface Check {
  readonly name: CheckName;
  readonly outcome: Outcome;
  /** One line for people. */
  readonly detail: string;
  /** What to do: a flag of QEMU, or a command. */
  readonly remedy?: string;
}

/** The errors of a source, as against mistakes of ours and of the command line. */
const SOURCE_ERRORS: ReadonlySet<string> = new Set(['source-unavailable', 'corrupt-input', 'read-failed']);

/** What a check comes to that threw. @throws what is no answer of the source */
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
