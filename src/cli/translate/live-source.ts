/** Page tables of a running QEMU, which stands still while they are read and is left as it was found. */
import { PtmonError } from '../../core/error.ts';
import { type GuestMemoryKind, QmpClient, readPhysicalAddressBits } from '../../drivers/qemu/index.ts';
import { openGuestMemory } from '../../drivers/qemu/memory/index.ts';
import { visitGdb } from '../live/gdb-visit.ts';
import { guestPaging } from '../live/guest-paging.ts';
import { readRunState } from '../live/run-state.ts';
import type { TableSource } from './table-source.ts';

export interface LiveSourceOptions {
  readonly qmp: string;
  readonly gdb: string;
  readonly vcpu: number;
  readonly memory: GuestMemoryKind | 'auto';
  readonly ramFile?: string;
}

/**
 * @throws PtmonError `source-unavailable` where a socket does not answer, the memory cannot be read, or paging is off;
 *   `bad-argument` for a vCPU that does not exist; the reason of `signal` when it is aborted
 */
export async function openLiveSource(options: LiveSourceOptions, signal: AbortSignal): Promise<TableSource> {
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

    const threads = await gdb.threads();
    const thread = threads[options.vcpu];
    if (thread === undefined) throw noVcpu(options.vcpu, threads.length);
    const registers = await gdb.readRegisters(thread);
    const paging = guestPaging(registers, physicalAddressBits);
    if (paging === undefined) throw pagingOff(options.vcpu);

    const { memory: kind, ramFile } = options;
    const guestMemory = await openGuestMemory({ qmp, gdb, kind, ...(ramFile !== undefined && { ramFile }) });
    undo.push(() => guestMemory.close());
    const { memory, remote, description } = guestMemory;
    return {
      paging,
      cr3: registers.cr3,
      memory,
      ...(remote !== undefined && { remote }),
      description: `vCPU ${options.vcpu} of ${threads.length}; memory: ${description}`,
      close,
    };
  } catch (error) {
    // What failed first is what there is to tell.
    await close().catch(() => {});
    throw error;
  }
}

function noVcpu(vcpu: number, count: number): PtmonError {
  const valid = count === 1 ? 'only vCPU 0' : `vCPUs 0 to ${count - 1}`;
  return new PtmonError('bad-argument', `there is no vCPU ${vcpu}: the guest has ${valid}`, { vcpu });
}

function pagingOff(vcpu: number): PtmonError {
  return new PtmonError(
    'source-unavailable',
    `paging is off on vCPU ${vcpu} (CR0.PG is 0): it has no page tables yet, each address is a physical one; let the guest boot`,
    { vcpu },
  );
}
