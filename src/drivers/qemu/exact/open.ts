/** Opens a running QEMU for exact watching, by its QMP socket and its gdbstub. */
import { PtmonError } from '../../../core/error.ts';
import { GdbClient } from '../gdb/client.ts';
import { type GuestMemoryKind, openGuestMemory } from '../memory/open-memory.ts';
import { QmpClient } from '../qmp/client.ts';
import { readPhysicalAddressBits } from '../qmp/physical-address-bits.ts';
import { QemuDriver } from './driver.ts';
import { GuestEnd } from '../guest-end.ts';

export interface QemuOptions {
  /** QEMU's `-qmp` socket: `unix:/path`, `/path`, `tcp:host:port` or `host:port`. */
  readonly qmp: string;
  /** QEMU's `-gdb` socket, written likewise. */
  readonly gdb: string;
  /** Where the guest's memory is read; the fastest way that there is, unless told. */
  readonly memory?: GuestMemoryKind | 'auto';
  /** The file that is the guest's memory, where QEMU's own word for it is not right here. */
  readonly ramFile?: string;
  /** Watchpoints that may be set at once; 8,192 unless told. */
  readonly maxWatchpoints?: number;
  /** How long QEMU may take for each answer, in milliseconds; 5,000 unless told. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** States of a guest that is to run: qapi/run-state.json, RunState. `debug` is where a debugger that died has left it. */
const MEANT_TO_RUN: ReadonlySet<unknown> = new Set(['running', 'debug']);

/**
 * Connects to a QEMU. The guest stands still from then on, until the driver is run, and again after `close`, if it did before.
 *
 * @throws PtmonError `source-unavailable` where a socket does not answer or the memory cannot be read, `corrupt-input` where a
 *   peer does not speak its protocol, `bad-argument` for a malformed address; the reason of `options.signal` when it is aborted
 */
export async function openQemu(options: QemuOptions): Promise<QemuDriver> {
  const { timeoutMs, signal, maxWatchpoints } = options;
  const limits = { ...(timeoutMs !== undefined && { timeoutMs }), ...(signal && { signal }) };
  const end = new GuestEnd(options.qmp);
  const undo: (() => Promise<void>)[] = [];
  try {
    const qmp = await QmpClient.connect(options.qmp, {
      ...limits,
      onEvent: (event) => end.hear(event),
      onLost: (error) => end.lose(error),
    });
    undo.push(() => qmp.close());
    const { status } = (await qmp.execute('query-status')) as { readonly status?: unknown };
    const stoodStill = !MEANT_TO_RUN.has(status);
    // Not to be aborted half-way: connecting stops the guest, and only who is connected can let it go.
    const gdb = await GdbClient.connect(options.gdb, {
      ...(timeoutMs !== undefined && { timeoutMs }),
      onLost: (error) => end.lose(error),
    });
    undo.push(() => gdb.detach({ leaveStopped: stoodStill }));
    signal?.throwIfAborted();
    const guestMemory = await openGuestMemory({
      qmp,
      gdb,
      ...(options.memory !== undefined && { kind: options.memory }),
      ...(options.ramFile !== undefined && { ramFile: options.ramFile }),
    });
    undo.push(() => guestMemory.close());
    return await QemuDriver.open({
      qmp,
      gdb,
      guestMemory,
      end,
      stoodStill,
      physicalAddressBits: await readPhysicalAddressBits(qmp),
      ...(maxWatchpoints !== undefined && { maxWatchpoints }),
    });
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => {});
    throw error instanceof PtmonError && end.failure !== undefined ? end.failure : error;
  }
}
