/** Page tables of a running QEMU, which stands still while they are read and is left as it was found. */
import { knownRegisters } from '../../driver/known-registers.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import {
  type GdbRegisters,
  type GuestMemoryKind,
  QmpClient,
  readPhysicalAddressBits,
  readRunState,
} from '../../drivers/qemu/index.ts';
import { openGuestMemory } from '../../drivers/qemu/memory/index.ts';
import { visitGdb } from '../live/gdb-visit.ts';

export interface LiveSnapshotOptions {
  readonly qmp: string;
  readonly gdb: string;
  readonly memory: GuestMemoryKind | 'auto';
  readonly ramFile?: string;
}

/**
 * @throws PtmonError `source-unavailable` where a socket does not answer or the memory cannot be read; the reason of `signal`
 *   when it is aborted
 */
export async function openLiveSnapshot(options: LiveSnapshotOptions, signal: AbortSignal): Promise<Snapshot> {
  const undo: (() => Promise<void>)[] = [];
  const close = async () => {
    const failures: unknown[] = [];
    // Each is tried: a connection that stays open keeps this process alive.
    for (let step = undo.pop(); step !== undefined; step = undo.pop()) {
      await step().catch((error: unknown) => failures.push(error));
    }
    if (failures.length > 0) throw failures[0];
  };
  try {
    const qmp = await QmpClient.connect(options.qmp, { signal });
    undo.push(() => qmp.close());
    const physicalAddressBits = await readPhysicalAddressBits(qmp);
    const leaveStopped = (await readRunState(qmp)) !== 'running';
    const visit = await visitGdb(options.gdb, { leaveStopped });
    undo.push(() => visit.leave());
    const { gdb } = visit;
    signal.throwIfAborted();

    const vcpus: GdbRegisters[] = [];
    for (const thread of await gdb.threads()) vcpus.push(await gdb.readRegisters(thread));

    const { memory: kind, ramFile } = options;
    const guestMemory = await openGuestMemory({ qmp, gdb, kind, ...(ramFile !== undefined && { ramFile }) });
    undo.push(() => guestMemory.close());
    const { memory, remote, regions, description } = guestMemory;
    return {
      description: `${vcpus.length} ${vcpus.length === 1 ? 'vCPU' : 'vCPUs'}; memory: ${description}`,
      memory,
      ...(remote !== undefined && { remote }),
      regions,
      registers: knownRegisters('guest', vcpus, physicalAddressBits),
      close,
    };
  } catch (error) {
    // What failed first is what there is to tell.
    await close().catch(() => {});
    throw error;
  }
}
