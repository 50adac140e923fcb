/** What `watch` watches, and what it says of the ways: exactly, or by samples. */
import type { PagingModeName } from '../../../core/paging/modes.ts';
import type { Driver } from '../../../driver/driver.ts';
import {
  type GuestMemoryKind,
  openQemu,
  openQemuSampling,
  type QemuDriver,
  type RunNotice,
} from '../../../drivers/qemu/index.ts';
import { openRamFile, type Sampling } from '../../../drivers/ramfile/index.ts';
import { PtmonError } from '../../../core/error.ts';
import type { Statistics } from '../../../sinks/sink.ts';

export interface SourceOptions {
  readonly qmp?: string;
  readonly gdb?: string;
  readonly ramFile?: string;
  readonly ramMap?: string;
  readonly paging?: PagingModeName;
  readonly mode?: 'exact' | 'sample';
  readonly interval?: number;
  readonly memory?: GuestMemoryKind | 'auto';
  readonly maxWatchpoints?: number;
}

export interface WatchSource {
  readonly driver: Driver;
  readonly mode: 'exact' | 'sample';
  /** How the guest is watched, in a sentence, and where its memory is read. */
  readonly introduction: string;
  /** What it has cost, and how sure it is. */
  costs(statistics: Statistics): string;
  /** Where QEMU can be asked to verify. */
  readonly qemu?: QemuDriver;
}

/**
 * Opens what the options name: exactly where there is a gdbstub, unless samples are wanted.
 *
 * @param say is told where others hold the guest
 * @throws PtmonError `bad-argument` for options that do not go together, and as the drivers
 */
export async function openSource(
  options: SourceOptions,
  signal: AbortSignal,
  say: (line: string) => unknown,
): Promise<WatchSource> {
  const { qmp, gdb, ramFile, interval, memory } = options;
  const mode = options.mode ?? (gdb === undefined ? 'sample' : 'exact');
  if (mode === 'exact') {
    if (qmp === undefined || gdb === undefined) {
      throw new PtmonError(
        'bad-argument',
        'exact watching takes --qmp and --gdb; with --mode sample, --qmp or --ram-file is enough',
      );
    }
    return exactly(await openQemu({ ...options, qmp, gdb, signal, onNotice: (notice) => say(noticeLine(notice)) }));
  }
  const intervalMs = interval === undefined ? {} : { intervalMs: interval };
  if (qmp !== undefined) {
    if (memory === 'gdb')
      throw new PtmonError('bad-argument', 'samples cannot be taken by --memory gdb: the guest runs');
    const way = memory === undefined ? {} : { memory };
    const driver = await openQemuSampling({
      qmp,
      ...intervalMs,
      ...way,
      ...(ramFile !== undefined && { ramFile }),
      signal,
    });
    return sampled(driver, driver.memorySource);
  }
  if (ramFile === undefined)
    throw new PtmonError('bad-argument', 'what is to be watched? Give --qmp and --gdb, or --ram-file');
  if (options.paging === undefined) {
    throw new PtmonError('bad-argument', 'a RAM file does not say how the guest pages: give --paging, or --qmp');
  }
  const regions = options.ramMap === undefined ? {} : { regions: options.ramMap };
  return sampled(await openRamFile({ path: ramFile, ...regions, ...intervalMs }), `RAM file ${ramFile}`);
}

/** What other clients of QEMU do with the guest, in a line. */
export function noticeLine(notice: RunNotice): string {
  switch (notice.kind) {
    case 'held':
      return `Somebody else has the guest stand still (${notice.state}): it is watched on when they let it run.`;
    case 'migrating':
      return 'The guest is migrating: nothing is trapped until that is over, and what happens meanwhile is not seen.';
    case 'free':
      return 'The guest is watched again.';
  }
}

export function exactly(driver: QemuDriver): WatchSource {
  return {
    driver,
    mode: 'exact',
    qemu: driver,
    introduction: `Exact: the guest stops after each write to a watched entry. Memory: ${driver.memorySource}`,
    costs: ({ foundByResync, counts }) => {
      const { stops, hits, watchpoints, runningMs, stoppedMs } = driver.statistics;
      const events = Object.values(counts).reduce((sum, each) => sum + each, 0);
      const totalMs = Math.max(runningMs + stoppedMs, 1);
      return (
        `${stops} stops (${((1000 * stops) / totalMs).toFixed(0)} a second), ${hits} of them by ${watchpoints} watchpoints; ` +
        `${percent(foundByResync, events)} of ${events} events found only by comparing; ` +
        `the guest stood still ${percent(stoppedMs, totalMs)} of the time`
      );
    },
  };
}

function sampled(driver: Driver & { readonly sampling: Sampling }, memorySource: string): WatchSource {
  const { intervalMs } = driver.sampling;
  return {
    driver,
    mode: 'sample',
    introduction:
      `Sampling every ${intervalMs} ms while the guest runs: what changes and changes back between two samples is not seen. ` +
      `Memory: ${memorySource}`,
    costs: () => {
      const { samples, achievedIntervalMs } = driver.sampling;
      const achieved =
        achievedIntervalMs === null
          ? ''
          : `, one every ${achievedIntervalMs.mean.toFixed(1)} ms (at most ${achievedIntervalMs.max.toFixed(1)} ms apart, ${intervalMs} wanted)`;
      return `${samples} ${samples === 1 ? 'sample' : 'samples'}${achieved}; what changed and changed back between two of them was not seen`;
    },
  };
}

function percent(part: number, whole: number): string {
  return `${(whole === 0 ? 0 : (100 * part) / whole).toFixed(1)} %`;
}
