/** Opens a running QEMU for exact watching, by its QMP socket and its gdbstub. */
import { PtmonError } from '../../../core/error.ts';
import { GdbClient } from '../gdb/client.ts';
import { openFollowedMemory } from '../memory/followed-memory.ts';
import type { GuestMemoryKind } from '../memory/open-memory.ts';
import { QmpClient } from '../qmp/client.ts';
import { readPhysicalAddressBits } from '../qmp/physical-address-bits.ts';
import { isMigrating, reportMigrations } from '../qmp/migration.ts';
import { isMeantToRun, readRunState } from '../qmp/run-state.ts';
import { expectFreeStub } from './free-stub.ts';
import { QemuDriver } from './driver.ts';
import { GuestEnd } from '../guest-end.ts';
import { guardGuest } from '../release/guard.ts';
import { deferSuspension } from '../release/suspension.ts';
import { limitsOf } from './limits.ts';
import type { MissedWritesNotice } from './comparing/missed-writes.ts';
import { isKvm } from '../qmp/is-kvm.ts';
import { formatSocketAddress, parseSocketAddress } from '../transport/socket-address.ts';
import { isVirshAddress } from '../transport/virsh-transport.ts';
import { RunControl } from './running/run-control.ts';
import type { RunNotice } from './running/run-notice.ts';

export interface QemuOptions {
  /** QEMU's `-qmp` socket: `unix:/path`, `/path`, `tcp:host:port` or `host:port`. */
  readonly qmp: string;
  /** QEMU's `-gdb` socket, written likewise. */
  readonly gdb: string;
  /** Where the guest's memory is read; defaults to the fastest way that works. */
  readonly memory?: GuestMemoryKind | 'auto';
  /** The file that is the guest's memory, where the path that QEMU reports does not exist on this host. */
  readonly ramFile?: string;
  /** Watchpoints that may be set at once; defaults to 8,192, under KVM to the four debug registers. */
  readonly maxWatchpoints?: number;
  /** Whether watchpoints are debug registers: four of 1, 2, 4 or 8 aligned bytes. Defaults to whether the guest runs on KVM. */
  readonly debugRegisters?: boolean;
  /** Leaves debug registers to breakpoints: where watchpoints are debug registers, the guest is sampled from the start. Default false. */
  readonly sparesDebugRegisters?: boolean;
  /**
   * What becomes of a watch when the guest has no lasting address for one of its page tables, and under KVM when its entries come to be
   * more than the debug registers while the guest runs: it fails, or goes on by samples. Default `fail`.
   */
  readonly whenTooMany?: 'fail' | 'sample';
  /**
   * Compares everything that is monitored at each stop, also where many entries make that slow, so that the monitor's state is exact at each.
   * Default false: see `docs/decisions/0003-live.md`.
   */
  readonly comparesAtEachStop?: boolean;
  /** Called when changes come without a stop, and when the watch goes on by samples therefore. */
  readonly onMissedWrites?: (notice: MissedWritesNotice) => void;
  /** How long QEMU may take for each answer, in milliseconds; defaults to 5,000. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  /** Told what other clients of QEMU do with the guest: while they hold it nothing happens, while they move it nothing is trapped. */
  readonly onNotice?: (notice: RunNotice) => void;
}

/**
 * Connects to a QEMU. The guest stays stopped until the driver runs. Where another client has paused it, before
 * or later, it stays so until they let it run, also after `close`.
 *
 * @throws PtmonError `source-unavailable` where a socket does not answer or the memory cannot be read, `corrupt-input` where a
 *   peer does not speak its protocol, `bad-argument` for a malformed address; the reason of `options.signal` when it is aborted
 */
export async function openQemu(options: QemuOptions): Promise<QemuDriver> {
  checkSockets(options);
  const { timeoutMs, signal, maxWatchpoints, onMissedWrites } = options;
  const limits = { ...(timeoutMs !== undefined && { timeoutMs }), ...(signal && { signal }) };
  const end = new GuestEnd(options.qmp);
  const undo: (() => Promise<void>)[] = [];
  let control: RunControl | undefined;
  let opened = () => {};
  try {
    const qmp = await QmpClient.connect(options.qmp, {
      ...limits,
      onEvent: (event) => {
        end.hear(event);
        control?.hear(event);
      },
      onLost: (error) => end.lose(error),
      onSilent: (command) => options.onNotice?.({ kind: 'silent', command }),
    });
    undo.push(() => qmp.close());
    await expectFreeStub(qmp, options.gdb);
    await expectNoMigration(qmp);
    const stopReports = await reportMigrations(qmp);
    const stateBefore = await readRunState(qmp);
    const leaveStopped = !isMeantToRun(stateBefore);
    // Connecting stops the guest.
    opened = deferSuspension();
    const guard = guardGuest({ gdb: options.gdb, qmp: options.qmp, isHeld: leaveStopped });
    undo.push(async () => {
      if (control === undefined) guard.done();
    });
    // Never abort this half-way: connecting stops the guest, and only a connected client can resume it.
    const gdb = await GdbClient.connect(options.gdb, {
      ...(timeoutMs !== undefined && { timeoutMs }),
      leaveStopped,
      onLost: (error) => end.lose(error),
    });
    const held = new RunControl({
      qmp,
      gdb,
      end,
      // Another client may have resumed it since it was asked.
      stateBefore: gdb.ranBefore ? 'running' : stateBefore,
      onNotice: options.onNotice,
      guard,
      stopReports,
    });
    control = held;
    undo.push(() => held.letGo());
    signal?.throwIfAborted();
    const guestMemory = await openFollowedMemory({
      qmp,
      gdb,
      ...(options.memory !== undefined && { kind: options.memory }),
      ...(options.ramFile !== undefined && { ramFile: options.ramFile }),
    });
    undo.push(() => guestMemory.close());
    const watchpoints = limitsOf(options.debugRegisters ?? (await isKvm(qmp)), maxWatchpoints);
    return await QemuDriver.open({
      qmp,
      gdb,
      guestMemory,
      control,
      end,
      physicalAddressBits: await readPhysicalAddressBits(qmp),
      limits: watchpoints,
      isSampled: watchpoints.areRegisters && options.sparesDebugRegisters === true,
      samplesWhatDoesNotFit: options.whenTooMany === 'sample',
      comparesAtEachStop: options.comparesAtEachStop ?? false,
      onMissedWrites,
      onNotice: options.onNotice,
    });
  } catch (error) {
    for (const step of undo.reverse()) await step().catch(() => {});
    throw end.reasonOf(error);
  } finally {
    opened();
  }
}

/** Connecting stops the guest, which a migration does not survive when it comes at the wrong moment. */
async function expectNoMigration(qmp: QmpClient): Promise<void> {
  if (!(await isMigrating(qmp))) return;
  throw new PtmonError('source-unavailable', `${qmp.address}: the guest is migrating; connect when that is over`);
}

function checkSockets({ qmp, gdb }: Pick<QemuOptions, 'qmp' | 'gdb'>): void {
  if (isVirshAddress(qmp)) return;
  const address = formatSocketAddress(parseSocketAddress(qmp));
  if (address !== formatSocketAddress(parseSocketAddress(gdb))) return;
  throw new PtmonError('bad-argument', `qmp and gdb are both ${address}: QEMU has a socket for each`);
}
