/** What a driver of exact watching is made of, and what it reports of its cost. */
import type { GdbClient } from '../gdb/client.ts';
import type { GuestEnd } from '../guest-end.ts';
import type { GuestMemory } from '../memory/open-memory.ts';
import type { QmpClient } from '../qmp/client.ts';
import type { WatchpointLimits } from './limits.ts';
import type { MissedWritesNotice } from './comparing/missed-writes.ts';
import type { RunControl } from './running/run-control.ts';
import type { RunNotice } from './running/run-notice.ts';

export interface QemuParts {
  readonly qmp: QmpClient;
  readonly gdb: GdbClient;
  readonly guestMemory: GuestMemory;
  readonly control: RunControl;
  readonly end: GuestEnd;
  readonly limits: WatchpointLimits;
  readonly samplesWhatDoesNotFit: boolean;
  /** No watchpoint is set: the guest is sampled from the start. */
  readonly isSampled: boolean;
  readonly comparesAtEachStop: boolean;
  /** This process was suspended and goes on, or the guest is stopped for most of the time. */
  readonly onNotice?: ((notice: RunNotice) => void) | undefined;
  readonly onMissedWrites?: ((notice: MissedWritesNotice) => void) | undefined;
  /** MAXPHYADDR, where QEMU says it. */
  readonly physicalAddressBits?: number | undefined;
}

/** What exact watching has cost so far. */
export interface StopStatistics {
  readonly stops: number;
  /** Stops by one of the monitor's watchpoints. */
  readonly hits: number;
  readonly watchpoints: number;
  /** Milliseconds that the guest ran, and that it was stopped, since `run` began. */
  readonly runningMs: number;
  readonly stoppedMs: number;
}
