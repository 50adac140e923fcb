/** Opens the guest of a QEMU that was started with ptmon's plugin. */
import { PtmonError } from '../../../core/error.ts';
import type { Driver, RegisterAccess } from '../../../driver/driver.ts';
import { pagingOf } from '../../../driver/paging.ts';
import { readHostAddresses } from '../memory/host-addresses.ts';
import { parseMemoryTree, type RamPiece } from '../memory/memory-tree.ts';
import type { QmpClient } from '../qmp/client.ts';
import { readRunState } from '../qmp/run-state.ts';
import { RunningGuest, type RunningGuestOptions, type RunningNotice } from '../running-guest.ts';
import { PluginConnection } from './connection.ts';
import { QemuPluginDriver } from './driver.ts';
import { MAX_REGIONS, type PluginRegion } from './protocol.ts';

/** Where the kernel of a 64-bit Linux is: in the upper half. */
const KERNEL_HALF = 1n << 63n;

const COMPARE_MS = 250;

export type InstrumentedCode = 'kernel' | 'all';

/** A guest that runs, and is not watched yet. */
export type PluginGuest = Pick<Driver, 'memory' | 'remote'> & { readonly registers: RegisterAccess };

export interface QemuPluginOptions extends RunningGuestOptions {
  /** The plugin's socket: the path of `-plugin FILE.so,socket=PATH`. */
  readonly plugin: string;
  /**
   * Which code's stores are seen. `kernel` is for a guest that is known to be Linux, which writes its page tables in its kernel, with no string
   * instruction and not on the stack: that costs less. Defaults to `all`. A function decides by the guest.
   */
  readonly code?: InstrumentedCode | ((guest: PluginGuest) => Promise<InstrumentedCode>);
  /** How often page tables are compared with memory, in milliseconds; defaults to 250. */
  readonly compareMs?: number;
  /** Told where another client of QEMU pauses and resumes the guest. */
  readonly onNotice?: (notice: RunningNotice) => void;
}

/**
 * @throws PtmonError `source-unavailable` where a socket does not answer, QEMU has no such plugin, another ptmon uses it, or the guest is paused;
 *   `corrupt-input` where a peer speaks another protocol; the reason of `options.signal` when it is aborted
 */
export async function openQemuPlugin(options: QemuPluginOptions): Promise<QemuPluginDriver> {
  const { signal, code = 'all', compareMs = COMPARE_MS } = options;
  const guest = await RunningGuest.open(options, options.onNotice);
  const undo: (() => void | Promise<void>)[] = [() => guest.close()];
  try {
    const connection = await PluginConnection.connect(options.plugin, signal);
    undo.push(() => connection.close());
    const { qmp, memory, registers } = guest;
    const mode = pagingOf(registers, 0)?.mode.name;
    const entryBytes = mode === '32-bit' ? 4 : 8;
    const isWide = mode === '4-level' || mode === '5-level';
    const wanted = typeof code === 'string' ? code : await code({ memory, remote: memory, registers });
    const instrumented = wanted === 'kernel' && isWide ? 'kernel' : 'all';
    const regions = await regionsOf(qmp);
    const codeFrom = instrumented === 'kernel' ? KERNEL_HALF : 0n;
    await expectRunning(qmp);
    await instrument(qmp, () => connection.configure({ codeFrom, entryBytes, regions }, signal));
    const driver = new QemuPluginDriver({ guest, connection, code: instrumented, entryBytes, compareMs });
    await guest.reportPauses(() => driver.compareSoon());
    return driver;
  } catch (error) {
    for (const step of undo.reverse()) await step();
    throw guest.end.reasonOf(error);
  }
}

/**
 * Has QEMU translate the guest's code anew. The plugin can ask for that only in the thread of a vCPU, when it goes idle or resumes: a stop and a
 * continue make it do so.
 */
async function instrument(qmp: QmpClient, configure: () => Promise<void>): Promise<void> {
  const ready = configure();
  ready.catch(() => {});
  await qmp.executeTogether(['stop', 'cont']);
  await ready;
}

async function expectRunning(qmp: QmpClient): Promise<void> {
  const state = await readRunState(qmp);
  if (state === 'running') return;
  const what = `${qmp.address}: the guest is paused (${state}): resume it, then watch it by the plugin`;
  throw new PtmonError('source-unavailable', what);
}

/** The RAM that the guest was started with: the largest pieces, as many as the plugin takes. */
async function regionsOf(qmp: QmpClient): Promise<PluginRegion[]> {
  const pieces = parseMemoryTree(await qmp.humanMonitor('info mtree -f'));
  const keyOf = await keysOf(qmp);
  const regions = (await readHostAddresses(qmp, pieces)).flatMap(({ pa, byteLength, position: host }) => {
    const key = keyOf(pieces.find((piece) => piece.pa === pa)!);
    return key === undefined ? [] : [{ key, pa, byteLength, host }];
  });
  if (regions.length === 0)
    throw new PtmonError('corrupt-input', `${qmp.address}: QEMU's list of RAM has no block of the guest's`);
  return regions.sort((a, b) => b.byteLength - a.byteLength).slice(0, MAX_REGIONS);
}

/**
 * What the plugin API has for the physical address of a piece. Before QEMU 8.2 that is the offset in QEMU's RAM: the column `Offset` of
 * `info ramblock`.
 */
async function keysOf(qmp: QmpClient): Promise<(piece: RamPiece) => number | undefined> {
  const [major = 0, minor = 0] = qmp.greeting.version;
  if (major > 8 || (major === 8 && minor >= 2)) return ({ pa }) => pa;
  const blocks = (await qmp.humanMonitor('info ramblock')).split('\n').flatMap((line) => {
    const [, name, offset] = /^\s*(\S+)\s+\d+ \S+\s+0x([\da-f]+)/.exec(line) ?? [];
    return name === undefined ? [] : [{ name, first: Number(`0x${offset}`) }];
  });
  return ({ block, offset }) => {
    const found = blocks.filter(({ name }) => name === block || name.endsWith(`/${block}`));
    return found.length === 1 ? found[0]!.first + offset : undefined;
  };
}
