/** Watches a live guest until it ends, or enough was seen. */
import { hex } from '../../../core/address/va.ts';
import { PtmonError } from '../../../core/error.ts';
import type { OptInKind } from '../../../core/monitor/events.ts';
import { rootOf } from '../../../core/paging/format.ts';
import { recordTrace, type TraceRecorder } from '../../../drivers/trace/index.ts';
import { retry } from '../../../driver/retry.ts';
import { openSession, type Session } from '../../../session/session.ts';
import { consoleSink } from '../../../sinks/console.ts';
import { jsonlSink } from '../../../sinks/jsonl.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import type { AddressOption } from './address-option.ts';
import type { SourceOptions, WatchSource } from './source.ts';
import { openLinuxPart, type ProcessOptions } from './watched-processes.ts';
import { Verifier } from './verifier.ts';

const PAGE_BYTES = 4096n;
const GONE: OptInKind = 'root-gone';
/** More is not verified: each takes QEMU half a millisecond at each stop. */
const MAX_VERIFIED_PAGES = 1n << 16n;

export interface WatchOptions extends SourceOptions, ProcessOptions {
  readonly va?: readonly AddressOption[];
  readonly root: 'current' | bigint;
  readonly kinds?: readonly OptInKind[];
  readonly json?: boolean;
  readonly verify?: boolean;
  /** The file of a trace. */
  readonly record?: string;
  /** Seconds. */
  readonly duration?: number;
  /** Events. */
  readonly count?: number;
}

export interface WatchStreams {
  /** Events. */
  readonly output: TextOutput;
  /** Everything else. */
  readonly messages: TextOutput;
}

/**
 * Watches, and closes the source however it ends.
 *
 * @param onStart called when the guest is about to run
 * @returns whether QEMU agreed with all that it was asked to verify
 * @throws PtmonError where the source is lost, or an address makes no sense
 */
export async function runWatch(
  source: WatchSource,
  options: WatchOptions,
  { output, messages }: WatchStreams,
  signal: AbortSignal,
  onStart?: () => void,
): Promise<boolean> {
  const say = (line: string) => messages.write(`${line}\n`);
  const limit = options.duration === undefined ? [] : [AbortSignal.timeout(options.duration * 1000)];
  const over = new AbortController();
  const addresses = options.va ?? [];
  const { system, processes } = await openOrClose(source, () =>
    openLinuxPart(source, options, say, () => over.abort(), signal),
  );
  const recorder = await recorderFor(source, options.record);
  const { driver } = source;
  const session = await openSession({
    driver,
    ...(recorder !== undefined && { recorder }),
    ...(options.paging !== undefined && { paging: { mode: options.paging } }),
    // That a process has ended is told by its root.
    kinds: processes === undefined ? (options.kinds ?? []) : [...new Set([...(options.kinds ?? []), GONE])],
    sinks: [options.json === true ? jsonlSink(output, { options: headerOptions(source.mode) }) : consoleSink(output)],
    signal: AbortSignal.any([signal, over.signal, ...limit]),
    ...(system !== undefined && { system }),
    onBatch: () => verifier?.verify(session.monitor),
  });
  let verifier: Verifier | undefined;
  try {
    if (options.verify === true && countPages(addresses) > MAX_VERIFIED_PAGES) {
      throw new PtmonError(
        'bad-argument',
        `--verify takes at most ${MAX_VERIFIED_PAGES} pages, not ${countPages(addresses)}`,
      );
    }
    let what: string;
    if (processes === undefined) {
      const root = rootFrom(source, session, options.root);
      await watchAll(session, root, addresses);
      if (options.verify === true) verifier = makeVerifier(source, [...pagesOf(root, addresses)], say);
      what = `${counted(countPages(addresses), 'address', 'addresses')} of root ${hex(root)}`;
    } else {
      await processes.begin(session);
      what = counted(BigInt(processes.watched.length), 'process', 'processes');
    }
    await say(introduction(source, session, what));
    onStart?.();
    const isUnfinished = await take(session, options.count);
    // The batch in which that happened is not done with: what is left of it is found by comparing.
    if (isUnfinished && verifier !== undefined) {
      await retry(() => session.monitor.resync(), { remote: source.driver.remote });
      await verifier.verify(session.monitor);
    }
  } finally {
    await session.close();
    if (recorder !== undefined) await say(`Recorded: ${options.record}`);
    if (session.statistics().resyncs > 0) await say(source.costs(session.statistics()));
    if (verifier !== undefined) await say(verifier.verdict);
  }
  return (verifier?.different ?? 0) === 0;
}

/** Leaves the source closed where the file cannot be written to. */
async function recorderFor(
  { driver, mode }: WatchSource,
  path: string | undefined,
): Promise<TraceRecorder | undefined> {
  if (path === undefined) return undefined;
  try {
    return recordTrace(path, { options: headerOptions(mode) });
  } catch (error) {
    await driver.close();
    throw error;
  }
}

function headerOptions(mode: WatchSource['mode']) {
  return { watch: mode };
}

function rootFrom({ driver }: WatchSource, { monitor }: Session, wanted: 'current' | bigint): number {
  if (wanted !== 'current') return rootOf(monitor.paging, wanted);
  if (driver.registers !== undefined) return rootOf(monitor.paging, driver.registers.readRegisters(0).cr3);
  throw new PtmonError(
    'bad-argument',
    'nobody knows the current address space of a RAM file: give --root 0x…, or --qmp',
  );
}

function makeVerifier({ qemu }: WatchSource, pages: readonly WatchedPage[], say: (line: string) => unknown): Verifier {
  if (qemu !== undefined) return new Verifier(qemu, pages, say);
  throw new PtmonError('bad-argument', '--verify takes a guest that stands still (--mode exact)');
}

interface WatchedPage {
  readonly root: number;
  readonly va: bigint;
}

async function watchAll(session: Session, root: number, addresses: readonly AddressOption[]): Promise<void> {
  for (const { va, byteLength, tag } of addresses) {
    await session.watch({
      root,
      va,
      ...(byteLength !== undefined && { byteLength }),
      ...(tag !== undefined && { tag }),
    });
  }
}

/** Each address, and each page of a range. */
function* pagesOf(root: number, addresses: readonly AddressOption[]): Generator<WatchedPage> {
  for (const { va, byteLength } of addresses) {
    const start = byteLength === undefined ? va : va - (va % PAGE_BYTES);
    for (let at = start; at < va + (byteLength ?? 1n); at += PAGE_BYTES) yield { root, va: at };
  }
}

function countPages(addresses: readonly AddressOption[]): bigint {
  const pages = ({ va, byteLength = 1n }: AddressOption) => (va + byteLength - 1n) / PAGE_BYTES - va / PAGE_BYTES + 1n;
  return addresses.reduce((sum, address) => sum + pages(address), 0n);
}

/** Lets the guest run until so many events have been seen, and stand still after that; answers whether they have. */
async function take(session: Session, count = Infinity): Promise<boolean> {
  const events = session[Symbol.asyncIterator]();
  for (let seen = 0; seen < count; seen++) {
    if ((await events.next()).done === true) return false;
  }
  return true;
}

function counted(count: bigint, one: string, many: string): string {
  return `${count} ${count === 1n ? one : many}`;
}

/** What opens a part of it leaves no source open where it fails. */
async function openOrClose<T>({ driver }: WatchSource, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (error) {
    await driver.close();
    throw error;
  }
}

function introduction(source: WatchSource, { monitor }: Session, what: string): string {
  return (
    `Watching ${what} (${monitor.paging.mode.name} paging), ` +
    `${monitor.pagedInEntries()} in memory: ${monitor.monitoredEntries()} entries of ${monitor.monitoredTables()} tables.\n` +
    source.introduction
  );
}
