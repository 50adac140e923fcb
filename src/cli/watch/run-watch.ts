/** Watches a live guest until it ends, or enough was seen. */
import { hex } from '../../core/address/va.ts';
import type { OptInKind } from '../../core/monitor/events.ts';
import { rootOf } from '../../core/paging/format.ts';
import type { GuestMemoryKind, QemuDriver } from '../../drivers/qemu/index.ts';
import { openSession, type Session } from '../../session/session.ts';
import { consoleSink } from '../../sinks/console.ts';
import { jsonlSink } from '../../sinks/jsonl.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import type { AddressOption } from './address-option.ts';
import { Verifier } from './verifier.ts';

export interface WatchOptions {
  readonly va: readonly AddressOption[];
  readonly root: 'current' | bigint;
  readonly kinds?: readonly OptInKind[];
  readonly json?: boolean;
  readonly verify?: boolean;
  /** Seconds. */
  readonly duration?: number;
  /** Events. */
  readonly count?: number;
  readonly memory?: GuestMemoryKind | 'auto';
}

export interface WatchStreams {
  /** Events. */
  readonly output: TextOutput;
  /** Everything else. */
  readonly messages: TextOutput;
}

/**
 * @returns whether QEMU agreed with all that it was asked to verify
 * @throws PtmonError where the source is lost, or an address makes no sense
 */
export async function watchExactly(
  driver: QemuDriver,
  options: WatchOptions,
  { output, messages }: WatchStreams,
  signal: AbortSignal,
): Promise<boolean> {
  const say = (line: string) => void messages.write(`${line}\n`);
  const limit = options.duration === undefined ? [] : [AbortSignal.timeout(options.duration * 1000)];
  const session = await openSession({
    driver,
    kinds: options.kinds ?? [],
    sinks: [options.json === true ? jsonlSink(output, { options: { watch: 'exact' } }) : consoleSink(output)],
    signal: AbortSignal.any([signal, ...limit]),
    onBatch: () => verifier?.verify(session.monitor),
  });
  let verifier: Verifier | undefined;
  try {
    const root = rootFrom(driver, session, options.root);
    const pages = await watchAll(session, root, options.va);
    if (options.verify === true) verifier = new Verifier(driver, pages, say);
    say(introduction(driver, session, root, pages.length));
    await take(session, options.count);
  } finally {
    await session.close();
    if (session.statistics().resyncs > 0) say(costs(driver, session));
    if (verifier !== undefined) say(verdict(verifier));
  }
  return (verifier?.different ?? 0) === 0;
}

function rootFrom(driver: QemuDriver, { monitor }: Session, wanted: 'current' | bigint): number {
  return rootOf(monitor.paging, wanted === 'current' ? driver.registers.readRegisters(0).cr3 : wanted);
}

/** Answers each address, and each page of a range. */
async function watchAll(session: Session, root: number, addresses: readonly AddressOption[]) {
  const pages: { root: number; va: bigint }[] = [];
  for (const { va, byteLength, tag } of addresses) {
    const request = { root, va, ...(tag !== undefined && { tag }) };
    if (byteLength === undefined) {
      await session.watch(request);
      pages.push({ root, va });
    } else {
      await session.watchRange({ ...request, byteLength });
      for (let at = va - (va % 4096n); at < va + byteLength; at += 4096n) pages.push({ root, va: at });
    }
  }
  return pages;
}

/** Lets the guest run until so many events have been seen. */
async function take(session: Session, count = Infinity): Promise<void> {
  let seen = 0;
  for await (const _event of session) {
    seen++;
    if (seen >= count) return;
  }
}

function introduction(driver: QemuDriver, { monitor }: Session, root: number, pages: number): string {
  const entries = monitor.monitoredEntries();
  return (
    `Watching ${pages} ${pages === 1 ? 'address' : 'addresses'} of root ${hex(root)} (${monitor.paging.mode.name} paging), ` +
    `${monitor.pagedInEntries()} in memory: ${entries} entries of ${monitor.monitoredTables()} tables.\n` +
    `Exact: the guest stops after each write to one of them. Memory: ${driver.memorySource}`
  );
}

function costs(driver: QemuDriver, session: Session): string {
  const { stops, hits, watchpoints, runningMs, stoppedMs } = driver.statistics;
  const { foundByResync, counts } = session.statistics();
  const events = Object.values(counts).reduce((sum, each) => sum + each, 0);
  const seconds = (runningMs + stoppedMs) / 1000;
  const share = events === 0 ? 0 : (100 * foundByResync) / events;
  return (
    `${stops} stops (${(stops / Math.max(seconds, 0.001)).toFixed(0)} a second), ${hits} of them by ${watchpoints} watchpoints; ` +
    `${share.toFixed(1)} % of ${events} events found only by comparing; the guest stood still ` +
    `${((100 * stoppedMs) / Math.max(runningMs + stoppedMs, 1)).toFixed(0)} % of the time`
  );
}

function verdict({ compared, different, notLoaded }: Verifier): string {
  return `verify: ${compared} comparisons with QEMU's own translation, ${different} differences; ${notLoaded} times no vCPU had the address space loaded`;
}
