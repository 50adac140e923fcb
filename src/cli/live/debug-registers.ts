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
import type { AddressOption } from '../options/address.ts';
import { withAddresses } from './named-addresses.ts';
import { openSource, type WatchSource } from './source.ts';
import type { SourceChoice, WatchOptions } from './watch-options.ts';
import { countPages } from './watched-addresses.ts';

const PROCESSES =
  'a process has more page-table entries than KVM has watchpoints, four debug registers; a single address (--va) would fit';

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
  const needed = await neededEntries(driver, root, addresses);
  if (needed <= limits.max) return undefined;
  const [{ va }] = addresses as [AddressOption];
  const alone = await neededEntries(driver, root, [{ va, byteLength: undefined, tag: undefined }]);
  const hint = alone <= limits.max ? `; --va ${hex(va)} alone would fit` : '';
  return `it takes watchpoints on ${needed} page-table entries, and KVM has ${limits.max}, the debug registers of the processor${hint}`;
}

/** Entries on the walks, those of the top level only where there is a watchpoint for each level. */
async function neededEntries(
  { registers, memory, remote, limits }: QemuDriver,
  root: WatchOptions['root'],
  addresses: readonly AddressOption[],
): Promise<number> {
  const paging = pagingOf(registers, 0);
  if (paging === undefined) return 0;
  const monitor = new PageTableMonitor({ memory, paging });
  const at = rootOf(paging, root === 'current' ? registers.readRegisters(0).cr3 : root);
  for (const { va, byteLength } of addresses) {
    const watch = () =>
      byteLength === undefined
        ? monitor.monitor({ root: at, va })
        : carryOut(monitor.monitorRangeInSteps({ root: at, va, byteLength }));
    await retry(watch, { remote });
  }
  const depth = Math.min(paging.levels.length, limits.max);
  const present = new Set(monitor.entryAddresses({ levels: depth < paging.levels.length ? 'below-top' : 'all' })).size;
  const pages = Number(countPages(addresses));
  // A page that is not there yet may get an entry of its own.
  return monitor.pagedInEntries() < pages ? Math.max(present, depth - 1 + pages) : present;
}
