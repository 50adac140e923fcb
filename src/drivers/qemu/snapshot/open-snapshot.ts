/** Page tables of a running QEMU guest. It is stopped while they are read, and then runs if it ran before. */
import { PtmonError } from '../../../core/error.ts';
import { knownRegisters } from '../../../driver/known-registers.ts';
import type { Snapshot } from '../../../driver/snapshot.ts';
import type { GdbRegisters } from '../gdb/index.ts';
import { type GuestMemoryKind, openGuestMemory } from '../memory/open-memory.ts';
import { QmpClient } from '../qmp/client.ts';
import { readAllRegisters } from '../qmp/info-registers.ts';
import { readPhysicalAddressBits } from '../qmp/physical-address-bits.ts';
import { readRunState } from '../qmp/run-state.ts';
import { visitGuarded } from '../release/guarded-visit.ts';

export interface QemuSnapshotOptions {
  /** QEMU's sockets: a path, or host:port. */
  readonly qmp: string;
  /** Without it the guest must be stopped already, by a client that has the gdbstub. */
  readonly gdb?: string;
  /** How its memory is read; defaults to the best way that works. */
  readonly memory?: GuestMemoryKind | 'auto';
  /** The file that is its memory, where QEMU's word for it is not right here. */
  readonly ramFile?: string;
  /** Ends the opening. */
  readonly signal?: AbortSignal;
}

/**
 * Stops a guest and reads it, until `close`.
 *
 * @throws PtmonError `source-unavailable` where a socket does not answer or the memory cannot be read; the reason of the
 *   signal when it is aborted
 */
export async function openQemuSnapshot(options: QemuSnapshotOptions): Promise<Snapshot> {
  const { signal, memory: kind = 'auto', ramFile } = options;
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
    const qmp = await QmpClient.connect(options.qmp, signal === undefined ? {} : { signal });
    undo.push(() => qmp.close());
    const physicalAddressBits = await readPhysicalAddressBits(qmp);
    if (options.gdb === undefined) {
      return await readStoppedGuest({ qmp, kind, ramFile, physicalAddressBits, undo, close });
    }
    const leaveStopped = (await readRunState(qmp)) !== 'running';
    const visit = await visitGuarded(options.gdb, {
      leaveStopped,
      qmp: options.qmp,
      state: () => readRunState(qmp).catch(() => undefined),
    });
    undo.push(() => visit.leave());
    const { gdb } = visit;
    signal?.throwIfAborted();

    const vcpus: GdbRegisters[] = [];
    for (const thread of await gdb.threads()) vcpus.push(await gdb.readRegisters(thread));

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

interface StoppedGuest {
  readonly qmp: QmpClient;
  readonly kind: GuestMemoryKind | 'auto';
  readonly ramFile: string | undefined;
  readonly physicalAddressBits: number | undefined;
  readonly undo: (() => Promise<void>)[];
  readonly close: () => Promise<void>;
}

/** What QMP alone gives of a guest that another client has stopped: nothing here stops it, or resumes it. */
async function readStoppedGuest(guest: StoppedGuest): Promise<Snapshot> {
  const { qmp, kind, ramFile, physicalAddressBits, undo, close } = guest;
  const state = await readRunState(qmp);
  if (state === 'running') {
    throw new PtmonError(
      'source-unavailable',
      `${qmp.address}: the guest runs, and ptmon needs the gdbstub to stop it for reading: give --gdb, or stop the guest first; with --consistent, ps, maps, map and dump read a running guest`,
    );
  }
  const vcpus = await readAllRegisters(qmp);
  const guestMemory = await openGuestMemory({ qmp, kind, ...(ramFile !== undefined && { ramFile }) });
  undo.push(() => guestMemory.close());
  const { memory, regions, description } = guestMemory;
  return {
    description: `${vcpus.length} ${vcpus.length === 1 ? 'vCPU' : 'vCPUs'}, ${state}; memory: ${description}`,
    memory,
    regions,
    registers: knownRegisters('guest', vcpus, physicalAddressBits),
    close,
  };
}
