/**
 * What can be watched exactly: on KVM what fits into the debug registers of a processor, which are all the watchpoints that it has; of a
 * 32-bit guest what has page tables that it maps for good. The rest is sampled.
 */
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { PageTableMonitor } from '../../core/monitor/page-table-monitor.ts';
import { rootOf } from '../../core/paging/format.ts';
import { pagingOf } from '../../driver/paging.ts';
import { retry } from '../../driver/retry.ts';
import { type QemuDriver, runsOnKvm, unmappedWords } from '../../drivers/qemu/index.ts';
import { carryOut } from '../../driver/carry-out.ts';
import { joined, type Range, without } from '../../linux/watch/ranges.ts';
import type { AddressOption } from '../options/address.ts';
import { withAddresses } from './named-addresses.ts';
import { openSource, type WatchSource } from './source.ts';
import type { SourceChoice, WatchOptions } from './watch-options.ts';

const PAGE_BYTES = 4096n;

/** Of so many addresses it is tried whether one alone would fit. */
const MAX_TRIED = 16;

const PROCESSES =
  'a process has more page-table entries than KVM has watchpoints (four: the debug registers); a single address (--va) would fit';

/**
 * Opens what `choice` names. Where that is exact watching, and not all that is to be watched fits into the debug registers of KVM or has
 * page tables that writes can be trapped to, it samples instead and says so.
 *
 * @param say prints a line
 * @throws PtmonError `bad-argument` where only exact watching will do (`--mode exact`, `--verify`, `--memory gdb`); as `openSource`
 */
export async function openFittingSource(
  choice: SourceChoice,
  options: WatchOptions,
  signal: AbortSignal,
  say: (line: string) => unknown,
): Promise<WatchSource> {
  if (choice.mode !== 'exact') return openSource(choice, options, signal, say);
  const sampleInstead = async (why: string): Promise<WatchSource> => {
    const { mode, verify, memory = 'auto' } = options;
    if (mode === 'exact') throw new PtmonError('bad-argument', `--mode exact: ${why}`);
    if (verify === true) throw new PtmonError('bad-argument', `--verify needs exact watching: ${why}`);
    if (memory === 'gdb') throw new PtmonError('bad-argument', `--memory gdb needs exact watching: ${why}`);
    await say(`Sampling, not exact: ${why}.`);
    return openSource({ mode: 'sample', qmp: choice.qmp, memory }, options, signal, say);
  };
  if (options.va === undefined && (await runsOnKvm(choice.qmp, { signal }))) return sampleInstead(PROCESSES);
  const source = await openSource(choice, options, signal, say);
  let why: string | undefined;
  try {
    why = source.qemu && (await whyNotExact(source.qemu, await withAddresses(source.qemu, options, signal)));
  } catch (error) {
    await source.driver.close();
    throw error;
  }
  if (why === undefined) return source;
  await source.driver.close();
  return sampleInstead(why);
}

type Wanted = Pick<WatchOptions, 'root' | 'va'>;

/** Undefined where all of it can be watched exactly. The guest must be stopped. @throws PtmonError for an address that is invalid */
async function whyNotExact(driver: QemuDriver, { root, va: addresses = [] }: Wanted): Promise<string | undefined> {
  const { limits } = driver;
  const paging = pagingOf(driver.registers, 0);
  const table = await driver.unmappedTable(
    root === 'current' || paging === undefined ? undefined : rootOf(paging, root),
  );
  if (table !== undefined) return `${unmappedWords(table)}: there is no lasting address for a watchpoint`;
  if (!limits.areRegisters) return undefined;
  const needed = await needsOf(driver, root, addresses);
  if (needed.watchpoints <= limits.max) return undefined;
  const fitting = await firstThatFits(driver, root, addresses);
  const hint = fitting === undefined ? '' : `; --va ${hex(fitting)} alone would fit`;
  const more =
    needed.watchpoints === needed.entries
      ? ''
      : `, some of which the guest can write to at several addresses (${needed.watchpoints} watchpoints)`;
  return `these addresses need watchpoints on ${needed.entries} page-table entries${more}, and KVM has ${limits.max} watchpoints, the debug registers of the processor${hint}`;
}

/** The pages of all addresses, each of them once. */
function pageRanges(addresses: readonly AddressOption[]): readonly Range[] {
  let ranges: Range[] = [];
  for (const { va, byteLength = 1n } of addresses) {
    const end = va + byteLength + PAGE_BYTES - 1n;
    const range = { start: va - (va % PAGE_BYTES), end: end - (end % PAGE_BYTES) };
    ranges = joined([...ranges, ...without([range], ranges)]);
  }
  return ranges;
}

async function firstThatFits(
  driver: QemuDriver,
  root: WatchOptions['root'],
  addresses: readonly AddressOption[],
): Promise<bigint | undefined> {
  for (const { va } of addresses.slice(0, MAX_TRIED)) {
    const { watchpoints } = await needsOf(driver, root, [{ va, byteLength: undefined, tag: undefined }]);
    if (watchpoints <= driver.limits.max) return va;
  }
  return undefined;
}

/** Entries on the walks, those of the top level only where there is a watchpoint for each level. */
async function needsOf(
  driver: QemuDriver,
  root: WatchOptions['root'],
  addresses: readonly AddressOption[],
): Promise<{ readonly entries: number; readonly watchpoints: number }> {
  const { registers, memory, remote, limits } = driver;
  const paging = pagingOf(registers, 0);
  if (paging === undefined) return { entries: 0, watchpoints: 0 };
  const monitor = new PageTableMonitor({ memory, paging });
  const at = rootOf(paging, root === 'current' ? registers.readRegisters(0).cr3 : root);
  const ranges = pageRanges(addresses);
  for (const { start: va, end } of ranges) {
    await retry(() => carryOut(monitor.monitorRangeInSteps({ root: at, va, byteLength: end - va })), { remote });
  }
  const depth = Math.min(paging.levels.length, limits.max);
  const present = new Set(monitor.entryAddresses({ levels: depth < paging.levels.length ? 'below-top' : 'all' }));
  const watchpoints = [...present].reduce((sum, pa) => sum + Math.max(1, driver.writableAddresses(pa)), 0);
  // A page that is not there yet may get an entry of its own.
  const pages = Number(ranges.reduce((sum, { start, end }) => sum + (end - start) / PAGE_BYTES, 0n));
  const added = monitor.pagedInEntries() < pages ? Math.max(0, depth - 1 + pages - present.size) : 0;
  return { entries: present.size + added, watchpoints: watchpoints + added };
}
