/** Watches a live guest until it ends, or a limit is reached. */
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import type { MonitorEvent, OptInKind } from '../../core/monitor/events.ts';
import { rootOf } from '../../core/paging/format.ts';
import { retry } from '../../driver/retry.ts';
import { recordTrace, type TraceRecorder } from '../../drivers/trace/index.ts';
import { carryOut } from '../../driver/carry-out.ts';
import { openSession, type Session } from '../../session/session.ts';
import { jsonlSink } from '../../sinks/jsonl.ts';
import type { Streams } from '../context.ts';
import type { AddressOption, RootOption } from '../options/address.ts';
import { printStatus } from '../output/status-lines.ts';
import { StallingSink } from './output-stall.ts';
import { openPageFiles } from './page-files.ts';
import { leaveStoppedAt } from './stop-on.ts';
import { openFittingSource } from './debug-registers.ts';
import { withAddresses } from './named-addresses.ts';
import { slownessLine, type WatchSource } from './source.ts';
import { Verifier } from './verifier.ts';
import { checkWatchOptions, type WatchOptions } from './watch-options.ts';
import { countPages, pagesOf, watchAddresses } from './watched-addresses.ts';
import { watchView } from './watch-view.ts';
import { openLinuxPart } from './watched-processes.ts';

const GONE: OptInKind = 'root-gone';

/** Opens the source that the options name, and watches. @throws PtmonError as `checkWatchOptions`, `openSource` and `runWatch` */
export async function openAndWatch(options: WatchOptions, streams: Streams, signal: AbortSignal): Promise<boolean> {
  const choice = checkWatchOptions(options);
  const source = await openFittingSource(choice, options, signal, (line) => printStatus(streams.messages, line));
  const addressed = await closingOnError(source, () => withAddresses(source.driver, options, signal));
  return runWatch(source, addressed, streams, { signal });
}

export interface WatchRun {
  readonly signal: AbortSignal;
  /** Called when the guest is about to run. */
  readonly onStart?: () => void;
}

/**
 * Watches, and closes the source however it ends.
 *
 * @returns whether something was verified, and QEMU agreed with all of it; true without `verify`
 * @throws PtmonError where the source is lost, or an address is invalid
 */
export async function runWatch(
  source: WatchSource,
  options: WatchOptions,
  { output, messages }: Streams,
  { signal, onStart }: WatchRun,
): Promise<boolean> {
  const say = (line: string) => printStatus(messages, line);
  const over = new AbortController();
  const { system, processes, waitingFor } = await closingOnError(source, () =>
    openLinuxPart(source, options, { say, onEnd: () => over.abort(), signal }),
  );
  const recorder = await recorderFor(source, options);
  const view = options.json === true ? undefined : watchView({ output, each: options.each === true });
  const sink = new StallingSink(
    view ?? jsonlSink(output, { options: headerOptions(source.mode), time: options.time ?? false }),
    {
      choice: options.onStall ?? 'wait',
      say,
      detach: () => over.abort(),
    },
  );
  const { dumpPages: folder } = options;
  const files =
    folder === undefined
      ? []
      : [await closingOnError(source, () => openPageFiles({ folder, driver: source.driver, say, signal }))];
  const session = await openSession({
    driver: source.driver,
    ...(recorder !== undefined && { recorder }),
    ...(options.paging !== undefined && { paging: { mode: options.paging } }),
    // The end of a process shows in its root.
    kinds: kindsOf(options, processes !== undefined),
    sinks: [sink, ...files],
    signal: AbortSignal.any([signal, over.signal]),
    ...(system !== undefined && { system }),
    ...(options.verify === true && { onBatch: () => verifier?.verify(session.monitor) }),
  });
  let verifier: Verifier | undefined;
  let limit: NodeJS.Timeout | undefined;
  try {
    let what: string;
    if (processes === undefined) {
      const addresses = options.va ?? [];
      const root = rootFrom(source, session, options.root);
      await watchAddresses(session, root, addresses);
      if (options.verify === true) verifier = verifierOf(source, root, addresses, say);
      what = `${counted(countPages(addresses), 'address', 'addresses')} of root ${hex(root)}`;
    } else {
      await processes.begin(session);
      what = counted(BigInt(processes.watched.length), 'process', 'processes');
    }
    await say(introduction(source, session, what));
    const slowness = slownessLine(source.mode, session.monitor.monitoredEntries());
    if (slowness !== undefined) await say(slowness);
    for (const line of await waitingFor()) await say(line);
    view?.start();
    if (options.duration !== undefined) limit = setTimeout(() => over.abort(), options.duration * 1000);
    onStart?.();
    const { isUnfinished, last } = await takeEvents(session, options);
    if (last !== undefined && options.on?.includes(last.kind) === true) await stopAt(source, options, last, say);
    // The batch of the last event was not processed to its end: a comparison finds the rest of it.
    if (isUnfinished && verifier !== undefined) {
      await retry(() => carryOut(session.monitor.resyncInSteps()), { remote: source.driver.remote });
      await verifier.verify(session.monitor);
    }
  } finally {
    clearTimeout(limit);
    await session.close();
    if (recorder !== undefined) await say(`Recorded: ${options.record}`);
    if (session.statistics().resyncs > 0) await say(source.costs(session.statistics()));
    if (verifier !== undefined) await say(verifier.verdict);
  }
  return verifier?.agreed ?? true;
}

/** Undefined without a path. Closes the source if the file cannot be written. */
async function recorderFor(
  source: WatchSource,
  { record: path, force = false }: WatchOptions,
): Promise<TraceRecorder | undefined> {
  if (path === undefined) return undefined;
  return closingOnError(source, () => recordTrace(path, { options: headerOptions(source.mode), force }));
}

function headerOptions(mode: WatchSource['mode']) {
  return { watch: mode };
}

function rootFrom({ driver }: WatchSource, { monitor }: Session, wanted: RootOption): number {
  if (wanted !== 'current') return rootOf(monitor.paging, wanted);
  if (driver.registers !== undefined) return rootOf(monitor.paging, driver.registers.readRegisters(0).cr3);
  throw new PtmonError(
    'bad-argument',
    '--ram-file has no registers, so no current address space: give --root 0x…, or --qmp',
  );
}

function verifierOf(
  { qemu }: WatchSource,
  root: number,
  addresses: readonly AddressOption[],
  say: (line: string) => unknown,
): Verifier | undefined {
  return qemu && new Verifier(qemu, [...pagesOf(root, addresses)], say);
}

/** Beside page-in and page-out. */
function kindsOf({ kinds = [], on = [] }: WatchOptions, watchesProcesses: boolean): OptInKind[] {
  const awaited = on.filter((kind) => kind !== 'page-in' && kind !== 'page-out');
  return [...new Set([...kinds, ...awaited, ...(watchesProcesses ? [GONE] : [])])];
}

/**
 * Runs the guest until `count` events have come, or one of the kinds of `on`, then leaves it stopped.
 *
 * @returns whether the guest would go on, and the last event
 */
async function takeEvents(session: Session, { count = Infinity, on = [] }: WatchOptions) {
  if (count === Infinity && on.length === 0) {
    await session.run();
    return { isUnfinished: false, last: undefined };
  }
  const events = session[Symbol.asyncIterator]();
  let last: MonitorEvent | undefined;
  for (let seen = 0; seen < count && !(last && on.includes(last.kind)); seen++) {
    const { done, value } = await events.next();
    if (done === true) return { isUnfinished: false, last: undefined };
    last = value;
  }
  return { isUnfinished: true, last };
}

async function stopAt(
  { qemu }: WatchSource,
  { qmp, gdb }: WatchOptions,
  event: MonitorEvent,
  say: (line: string) => unknown,
): Promise<void> {
  if (qemu === undefined || qmp === undefined || gdb === undefined) return;
  for (const line of await leaveStoppedAt({ driver: qemu, event, qmp, gdb })) await say(line);
}

function counted(count: bigint, one: string, many: string): string {
  return `${count} ${count === 1n ? one : many}`;
}

/** Closes the source if what is opened on top of it fails. */
async function closingOnError<T>({ driver }: WatchSource, open: () => T | Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    await driver.close();
    throw error;
  }
}

function introduction(source: WatchSource, { monitor }: Session, what: string): string {
  return (
    `Watching ${what} (${monitor.paging.mode.name} paging): ${counted(BigInt(monitor.pagedInEntries()), 'page is', 'pages are')} in memory, ` +
    `reached through ${monitor.monitoredEntries()} entries of ${monitor.monitoredTables()} tables.\n` +
    source.introduction
  );
}
