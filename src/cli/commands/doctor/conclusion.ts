/** Concludes from the checks which modes of `ptmon watch` work. */
import { type Check, isOk, type Outcome, skipped } from './checks.ts';

export type WatchMode = 'exact' | 'sample';

/** Samples are read while the guest runs, which the gdbstub cannot do. */
export function samplingCheck(checks: readonly Check[]): Check {
  if (outcomeOf(checks, 'paging') === 'missing') {
    return { name: 'sampling', outcome: 'missing', detail: 'the guest has no page tables yet' };
  }
  const ways = (['file', 'process'] as const).filter((name) => isOk(checks, name));
  if (ways.length > 0) {
    const detail = `works through ${ways[0] === 'file' ? 'the RAM file' : "QEMU's memory"}; misses what changes and changes back between two samples`;
    return { name: 'sampling', outcome: 'ok', detail };
  }
  const isUnknown = ['file', 'process'].every((name) => outcomeOf(checks, name) === 'skipped');
  if (isUnknown) return skipped('sampling', "needs a RAM file, or QEMU's memory");
  const detail = "needs a RAM file, or QEMU's memory on this host: the gdbstub reads only while the guest is stopped";
  return { name: 'sampling', outcome: 'missing', detail };
}

export function workingModes(checks: readonly Check[]): WatchMode[] {
  const hasMemory = (['file', 'process', 'stub'] as const).some((name) => isOk(checks, name));
  const isExact = hasMemory && isOk(checks, 'qmp', 'gdb', 'paging', 'aliases', 'watchpoints');
  return [...(isExact ? (['exact'] as const) : []), ...(isOk(checks, 'sampling') ? (['sample'] as const) : [])];
}

/** One line of text. */
export function conclusion(modes: readonly WatchMode[]): string {
  if (modes.length === 2) return 'ptmon watch works: in exact mode, and in sample mode (--mode sample).';
  if (modes[0] === 'exact') return 'ptmon watch works in exact mode only.';
  if (modes[0] === 'sample') return 'ptmon watch works in sample mode only (--mode sample).';
  return 'ptmon watch does not work yet: see above what is missing.';
}

function outcomeOf(checks: readonly Check[], name: string): Outcome | undefined {
  return checks.find((check) => check.name === name)?.outcome;
}
