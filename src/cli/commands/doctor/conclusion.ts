/** What follows from the checks: which modes of `ptmon watch` will work. */
import { type Check, isOk, type Outcome, skipped } from './checks.ts';

export type WatchMode = 'exact' | 'sample';

/** Samples are read while the guest runs: the gdbstub cannot do that. */
export function samplingCheck(checks: readonly Check[]): Check {
  if (outcomeOf(checks, 'paging') === 'missing') {
    return { name: 'sampling', outcome: 'missing', detail: 'not before the guest has page tables' };
  }
  const ways = (['file', 'process'] as const).filter((name) => isOk(checks, name));
  if (ways.length > 0) {
    const detail = `possible, through ${ways[0] === 'file' ? 'the RAM file' : "QEMU's memory"}; changes between samples are not seen`;
    return { name: 'sampling', outcome: 'ok', detail };
  }
  const isUnknown = ['file', 'process'].every((name) => outcomeOf(checks, name) === 'skipped');
  if (isUnknown) return skipped('sampling', "it takes a RAM file, or QEMU's memory");
  const detail =
    "it takes a RAM file, or QEMU's memory on this host: the gdbstub reads only while the guest stands still";
  return { name: 'sampling', outcome: 'missing', detail };
}

export function workingModes(checks: readonly Check[]): WatchMode[] {
  const hasMemory = (['file', 'process', 'stub'] as const).some((name) => isOk(checks, name));
  const isExact = hasMemory && isOk(checks, 'qmp', 'gdb', 'paging', 'aliases', 'watchpoints');
  return [...(isExact ? (['exact'] as const) : []), ...(isOk(checks, 'sampling') ? (['sample'] as const) : [])];
}

/** In a line for people. */
export function conclusion(modes: readonly WatchMode[]): string {
  if (modes.length === 2) return 'ptmon watch will work: exact, and sampling (--mode sample).';
  if (modes[0] === 'exact') return 'ptmon watch will work: exact; not by sampling.';
  if (modes[0] === 'sample') return 'ptmon watch will work by sampling only (--mode sample); not exact.';
  return 'ptmon watch will not work yet: see what is missing above.';
}

function outcomeOf(checks: readonly Check[], name: string): Outcome | undefined {
  return checks.find((check) => check.name === name)?.outcome;
}
