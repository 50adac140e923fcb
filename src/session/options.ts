import { checkNames, PtmonError } from '../core/error.ts';
import type { PageTableMonitor } from '../core/monitor/page-table-monitor.ts';
import type { OptInKind } from '../core/monitor/events.ts';
import type { Paging, PagingOptions } from '../core/paging/format.ts';
import type { Driver, SourceEvent } from '../driver/driver.ts';
import type { ReadSource, SessionRecorder, SessionScript } from '../driver/session-parts.ts';
import type { Sink } from '../sinks/sink.ts';
import type { SystemLayer } from './system-layer.ts';

export interface SessionOptions {
  /** The session's from here on: closed with it, on every path. */
  readonly driver: Driver;
  /** Keeps a record of the session; closed with it. */
  readonly recorder?: SessionRecorder;
  /** Repeats a recorded session on its driver. */
  readonly script?: SessionScript;
  /** What is not told is read from the registers of vCPU 0. */
  readonly paging?: Paging | Partial<PagingOptions>;
  /** Event kinds beyond page-in and page-out. */
  readonly kinds?: readonly OptInKind[];
  /** Each gets every event before the iterator does. */
  readonly sinks?: readonly Sink[];
  /** Ends the session when aborted, without an error. */
  readonly signal?: AbortSignal;
  /** How often the session retries a call after a transient failure of the source; defaults to 3. */
  readonly retries?: number;
  /**
   * Called when a batch of the source is processed and before the guest runs on. Awaited; what it throws ends the session.
   */
  readonly onBatch?: (batch: readonly SourceEvent[]) => void | Promise<void>;
  /** Takes part, where there is one. */
  readonly system?: SystemLayer;
  /** Told of protections that could not be restored (rule C9). */
  readonly onFault?: (fault: PtmonError) => void;
}

const OPTIONS = 'driver recorder script paging kinds sinks signal retries onBatch system onFault'.split(' ');

/** The calls with which a script begins. Where the signal ends them, the session ends as soon as it is iterated. */
export async function performFirst(monitor: PageTableMonitor, { script, signal }: SessionOptions): Promise<void> {
  try {
    await script?.perform(monitor, null, signal);
  } catch (error) {
    if (signal?.aborted !== true || error !== signal.reason) throw error;
  }
}

export function checkDriver(options: SessionOptions): void {
  const driver: unknown = (options as Partial<SessionOptions> | undefined)?.driver;
  const { run, close, memory } = Object(driver) as Partial<Driver>;
  if (typeof run !== 'function' || typeof close !== 'function' || typeof memory !== 'object') {
    const given = driver instanceof Object ? 'an object without memory, run and close' : String(driver);
    const advice = 'pass an opened driver, such as `await openQemu(…)`';
    throw new PtmonError('bad-argument', `the option driver of openSession is ${given}: ${advice}`);
  }
  checkNames('openSession', options, OPTIONS);
}

/** The driver, with its proof as the way to its tables. */
export function readSource({ name, memory, remote, registers, protection, traps, proof }: Driver): ReadSource {
  return { name, memory, remote, registers, protection, traps, ...proof };
}

/** Whether nobody takes part in a session who may want to wait, or to have the guest stopped: beside its sinks and its consumer. */
export function mayActAtOnce({ recorder, script, system, onBatch }: SessionOptions): boolean {
  return recorder === undefined && script === undefined && system === undefined && onBatch === undefined;
}
