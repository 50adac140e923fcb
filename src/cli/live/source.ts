/** The sources of a watch, and what is printed about each mode. */
import type { Driver } from '../../driver/driver.ts';
import { pagingOf } from '../../driver/paging.ts';
import {
  type MissedWritesNotice,
  openQemu,
  openQemuPlugin,
  openQemuSampling,
  type QemuDriver,
  type QemuPluginDriver,
  type RunNotice,
  type SamplingNotice,
} from '../../drivers/qemu/index.ts';
import { openRamFile, type Sampling } from '../../drivers/ramfile/index.ts';
import type { Statistics } from '../../sinks/sink.ts';
import { noLinux } from '../snapshot/linux-view.ts';
import type { SourceChoice, SourceOptions, WatchMode, WatchOptions } from './watch-options.ts';
import { linuxOptions } from './named-addresses.ts';
import { openLinux } from '../../linux/index.ts';

export interface WatchSource {
  readonly driver: Driver;
  readonly mode: WatchMode;
  /** How the guest is watched, in a sentence, and where its memory is read. */
  readonly introduction: string;
  /** What watching cost, and how complete it is. */
  costs(statistics: Statistics): string;
  /** Set where QEMU can verify translations. */
  readonly qemu?: QemuDriver;
}

/**
 * @param say prints what other clients of QEMU do with the guest
 * @throws PtmonError as the drivers
 */
export async function openSource(
  choice: SourceChoice,
  options: SourceOptions & Pick<WatchOptions, 'root' | 'btf'> & { readonly verify?: boolean },
  signal: AbortSignal,
  say: (line: string) => unknown,
): Promise<WatchSource> {
  const { interval, ramFile, ramMap, proof = true } = options;
  if (choice.mode === 'exact') {
    const { qmp, gdb } = choice;
    const driver = await openQemu({
      ...options,
      qmp,
      gdb,
      signal,
      onNotice: (notice) => say(noticeLine(notice)),
      whenTooMany: 'sample',
      comparesAtEachStop: options.verify === true,
      onMissedWrites: (notice) => say(missedWritesLine(notice)),
    });
    return exactSource(driver);
  }
  if (choice.mode === 'plugin') {
    const found = await linuxOptions(options, signal);
    const driver = await openQemuPlugin({
      ...choice,
      code: async (guest) => ((await openLinux(guest, found).catch(noLinux)) === undefined ? 'all' : 'kernel'),
      ...(ramFile !== undefined && { ramFile }),
      signal,
      onNotice: (notice) => say(noticeLine(notice)),
    });
    return pluginSource(driver);
  }
  const intervalMs = interval === undefined ? {} : { intervalMs: interval };
  if ('ramFile' in choice) {
    const regions = ramMap === undefined ? {} : { regions: ramMap };
    const driver = await openRamFile({ path: choice.ramFile, ...regions, ...intervalMs });
    return samplingSource(driver, `RAM file ${choice.ramFile}`);
  }
  const driver = await openQemuSampling({
    qmp: choice.qmp,
    memory: choice.memory,
    ...intervalMs,
    ...(ramFile !== undefined && { ramFile }),
    proof,
    signal,
    onNotice: (notice) => say(noticeLine(notice)),
  });
  return samplingSource(driver, driver.memorySource, driver.whyUnproved);
}

const SLOW_WORDS = 'Watching so much slows the guest down.';
const SLOW_REMEDY = 'Watch less (--map, a smaller --va), or sample (--mode sample), which never stops it.';

/** So many entries make a stop at which a page table comes or goes longer than the stop itself: all are listed anew. */
const MANY_ENTRIES = 200_000;
/** That takes so long for each entry (docs/decisions/0003-live.md). */
const MS_PER_ENTRY = 1 / 25_000;

/** What watching so many entries will cost, said before the guest runs; undefined where it is little. */
export function slownessLine(mode: WatchMode, entries: number): string | undefined {
  if (mode !== 'exact' || entries < MANY_ENTRIES) return undefined;
  const stopMs = Math.round(entries * MS_PER_ENTRY);
  return `${SLOW_WORDS} With ${entries} watched entries, each page table that comes or goes stops it for about ${stopMs} ms. ${SLOW_REMEDY}`;
}

/** What other clients of QEMU do with the guest, in a line. */
export function noticeLine(notice: RunNotice | SamplingNotice): string {
  switch (notice.kind) {
    case 'unproved':
      return `No proof any more: ${notice.why}. The watch goes on by samples, and from now on it is unknown how many events were lost.`;
    case 'held':
      return `Paused by another QEMU client (${notice.state}): watching goes on when that client resumes the guest.`;
    case 'migrating':
      return 'The guest is migrating: until that ends, ptmon sets no watchpoints and misses what changes.';
    case 'left':
      return (
        `The gdbstub does not answer: the guest may be stopped${notice.state === undefined ? '' : ` (QMP: ${notice.state})`}, or a watchpoint may ` +
        'stop it. ptmon doctor --release, with the same --qmp and --gdb, resumes it.'
      );
    case 'silent':
      return `QEMU has not answered ${notice.command} on its QMP socket for 1 s. In exact mode the guest may be stopped until it does.`;
    case 'slow':
      return `${SLOW_WORDS} It was stopped ${percent(notice.stoppedShare, 1)} of the last seconds. ${SLOW_REMEDY}`;
    case 'suspended':
      return 'ptmon was suspended and has continued. The guest ran unwatched meanwhile: what changed and changed back is lost.';
    case 'free':
      return 'ptmon watches the guest again.';
  }
}

/** That writes came without a stop, in a line. */
export function missedWritesLine(notice: MissedWritesNotice): string {
  switch (notice.kind) {
    case 'unreported':
      return (
        'Watched page-table entries changed and no watchpoint stopped the guest: from now on it is unknown how many events were lost. ' +
        'Watchpoints may not work on this host (ptmon doctor tries them).'
      );
    case 'sampling':
      return `No longer exact: ${notice.why}. The watch goes on by samples, and misses what changes and changes back between two.`;
  }
}

export function exactSource(driver: QemuDriver): WatchSource {
  return {
    driver,
    mode: 'exact',
    qemu: driver,
    introduction: `Exact: the guest stops after each write to a watched entry. ${vcpusLine(driver)}${registersLine(driver)}Memory: ${driver.memorySource}`,
    costs: ({ foundByResync, counts }) => {
      const { stops, hits, watchpoints, runningMs, stoppedMs } = driver.statistics;
      const events = Object.values(counts).reduce((sum, each) => sum + each, 0);
      const totalMs = Math.max(runningMs + stoppedMs, 1);
      return (
        `${stops} ${stops === 1 ? 'stop' : 'stops'} (${((1000 * stops) / totalMs).toFixed(0)} per second), ${hits} of them by ${watchpoints} watchpoints; ` +
        `${percent(foundByResync, events)} of ${events} events found only by comparing; ` +
        `the guest was stopped ${percent(stoppedMs, totalMs)} of the time`
      );
    },
  };
}

/** What `lost: null` will mean. */
function vcpusLine({ registers: { vcpuCount } }: QemuDriver): string {
  if (vcpuCount === 1) return '';
  return `With ${vcpuCount} vCPUs, two writes to the same entry may share a stop, so the number of lost events is unknown. `;
}

/** What is particular to debug registers. */
function registersLine({ limits, registers }: QemuDriver): string {
  if (!limits.areRegisters) return '';
  const levels = pagingOf(registers, 0)?.levels.length ?? 0;
  const top =
    levels <= limits.max ? '' : '; the entry of the top-level table is only compared, at each stop and once a second';
  return `KVM has ${limits.max} watchpoints, the debug registers of the processor${top}. `;
}

function pluginSource(driver: QemuPluginDriver): WatchSource {
  const whose = driver.code === 'kernel' ? "of the guest's Linux kernel" : 'of the guest';
  return {
    driver,
    mode: 'plugin',
    introduction:
      `Exact: QEMU's plugin records each store ${whose} to a watched page table, and the guest does not stop. ` +
      `Memory: ${driver.memorySource}`,
    costs: () => {
      const { writes, tables } = driver.statistics;
      return `${writes} writes to watched page tables; ${tables} page tables recorded at the end`;
    },
  };
}

/** @param whyUnproved why there is no proof, where one was wanted */
function samplingSource(
  driver: Driver & { readonly sampling: Sampling },
  memorySource: string,
  whyUnproved?: string,
): WatchSource {
  const { intervalMs, minIntervalMs } = driver.sampling;
  const isFixed = minIntervalMs === intervalMs;
  const faster = isFixed ? '' : `, every ${minIntervalMs} ms while pages change,`;
  const requested = isFixed ? `${intervalMs} ms` : `${minIntervalMs} to ${intervalMs} ms`;
  return {
    driver,
    mode: 'sample',
    introduction:
      `Sampling every ${intervalMs} ms${faster} while the guest runs: what changes and changes back between two samples is missed. ` +
      proofText(driver, whyUnproved) +
      `Memory: ${memorySource}`,
    costs: ({ lost: { windows } }) => {
      const { samples, achievedIntervalMs } = driver.sampling;
      const achieved =
        achievedIntervalMs === null
          ? ''
          : `, one every ${achievedIntervalMs.mean.toFixed(1)} ms (at most ${achievedIntervalMs.max.toFixed(1)} ms apart, ${requested} requested)`;
      const taken = `${samples} ${samples === 1 ? 'sample' : 'samples'}${achieved}`;
      if (windows === undefined || windows.proved === 0) {
        return `${taken}; what changed and changed back between two of them was missed`;
      }
      return `${taken}; before ${windows.proved} of them, no watched table was written since the previous sample, so nothing was missed`;
    },
  };
}

function proofText({ proof }: Driver, why: string | undefined): string {
  if (proof !== undefined) {
    return 'With proof: the kernel of this host notes which watched tables the guest writes between two samples; in a table that was not written, nothing is missed. ';
  }
  return why === undefined ? '' : `Without proof that nothing was missed between samples: ${why}. `;
}

function percent(part: number, whole: number): string {
  return `${(whole === 0 ? 0 : (100 * part) / whole).toFixed(1)} %`;
}
