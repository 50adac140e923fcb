/** Opens the guest of a QEMU that was started with ptmon's plugin. */
import { PtmonError } from '../../../core/error.ts';
import type { Driver, RegisterAccess } from '../../../driver/driver.ts';
import { pagingOf } from '../../../driver/paging.ts';
import { readHostAddresses } from '../memory/host-addresses.ts';
import { parseMemoryTree } from '../memory/memory-tree.ts';
import type { QmpClient } from '../qmp/client.ts';
import { readRunState } from '../qmp/run-state.ts';
import { RunningGuest, type RunningGuestOptions, type RunningNotice } from '../running-guest.ts';
import { PluginConnection } from './connection.ts';
import { QemuPluginDriver } from './driver.ts';
import type { PluginRegion } from './protocol.ts';

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

/** The RAM that the guest was started with. */
async function regionsOf(qmp: QmpClient): Promise<PluginRegion[]> {
  const pieces = parseMemoryTree(await qmp.humanMonitor('info mtree -f'));
  const { block } = pieces[0]!;
  const own = pieces.filter((piece) => piece.block === block);
  const found = await readHostAddresses(qmp, own);
  // Before QEMU 8.2, the plugin API has the offset in QEMU's RAM for the physical address.
  const [major = 0, minor = 0] = qmp.greeting.version;
  const isPhysical = major > 8 || (major === 8 && minor >= 2);
  const first = isPhysical ? 0 : await offsetOf(qmp, block);
  return found.map(({ pa, byteLength, position: host }) => {
    const { offset } = own.find((piece) => piece.pa === pa)!;
    return { key: isPhysical ? pa : first + offset, pa, byteLength, host };
  });
}

/** Where a block is among QEMU's RAM: the column `Offset` of `info ramblock`. */
async function offsetOf(qmp: QmpClient, block: string): Promise<number> {
  const text = await qmp.humanMonitor('info ramblock');
  for (const line of text.split('\n')) {
    const [, name, offset] = /^\s*(\S+)\s+\d+ \S+\s+0x([\da-f]+)/.exec(line) ?? [];
    if (name === block || name?.endsWith(`/${block}`) === true) return Number(`0x${offset}`);
  }
  throw new PtmonError('corrupt-input', `${qmp.address}: QEMU's list of RAM has no block ${block}`);
}
