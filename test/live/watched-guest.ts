/** A real guest that is watched while its workload does as it is told. */
import { Verifier } from '../../src/cli/live/verifier.ts';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import { openQemu, type QemuOptions, type StopStatistics } from '../../src/drivers/qemu/exact/index.ts';
import { findWorkloadRoot } from '../../src/drivers/qemu/launch/find-root.ts';
import { type LaunchedGuest, type LaunchOptions, launchGuest } from '../../src/drivers/qemu/launch/launch.ts';
import type { WorkloadReport } from '../../src/drivers/qemu/launch/workload-report.ts';
import { QmpClient } from '../../src/drivers/qemu/qmp/client.ts';
import { openSession } from '../../src/session/session.ts';
import type { Statistics } from '../../src/sinks/sink.ts';
import type { WatchedRange } from './page-history.ts';

export interface WatchPlan {
  readonly ranges: readonly WatchedRange[];
  /** Given to the workload one after the other while the guest is watched; or what somebody else does to it. */
  readonly commands: readonly (string | (() => Promise<unknown>))[];
  /** Asks QEMU to translate every watched address at each stop. */
  readonly verify?: boolean;
  /** The events go to a sink that may lag, so that stops are handled in the turn in which they are read. */
  readonly atOnce?: boolean;
  readonly options?: Partial<QemuOptions>;
  /** How long each command may take; default two minutes. */
  readonly timeoutMs?: number;
  /** Called with the number of events so far, after each. */
  readonly onEvent?: (count: number) => void;
  /** Waited for after the last command, before the watch ends. */
  readonly until?: (events: readonly MonitorEvent[]) => boolean;
}

export interface WatchOutcome {
  readonly events: readonly MonitorEvent[];
  readonly reports: readonly WorkloadReport[];
  readonly statistics: Statistics;
  readonly stops: StopStatistics;
  readonly compared: number;
  /** What QEMU says otherwise. */
  readonly disagreements: readonly string[];
}

export class WatchedGuest {
  readonly guest: LaunchedGuest;
  /** Of the workload; under page-table isolation the kernel's of the two, which is loaded when the kernel changes tables. */
  root = 0n;

  private constructor(guest: LaunchedGuest) {
    this.guest = guest;
  }

  static async boot(options: LaunchOptions): Promise<WatchedGuest> {
    const watched = new WatchedGuest(await launchGuest(options));
    try {
      await watched.guest.waitForReady();
      await watched.findRoot();
      return watched;
    } catch (error) {
      await watched.guest.stop();
      throw error;
    }
  }

  get pid(): number {
    return this.guest.workload.hello?.pid ?? 0;
  }

  /** Anew, after the workload has changed. */
  async findRoot(): Promise<void> {
    const hello = await this.guest.workload.ready();
    const qmp = await QmpClient.connect(this.guest.qmpPath);
    try {
      const root = await findWorkloadRoot(qmp, this.guest.workload);
      this.root = hello.pti ? root & ~0x1fffn : root;
    } finally {
      await qmp.close();
    }
  }

  async watch(plan: WatchPlan): Promise<WatchOutcome> {
    const { guest, root } = this;
    const driver = await openQemu({ qmp: guest.qmpPath, gdb: guest.gdbPath, ...plan.options });
    const enough = new AbortController();
    const disagreements: string[] = [];
    const events: MonitorEvent[] = [];
    const pages = plan.ranges.flatMap(({ va, pages: count }) =>
      Array.from({ length: count }, (_, page) => ({
        root: Number(root & 0xf_ffff_ffff_f000n),
        va: va + BigInt(page) * 4096n,
      })),
    );
    const verifier = new Verifier(driver, pages, (line) => disagreements.push(line));
    const session = await openSession({
      driver,
      signal: enough.signal,
      ...(plan.atOnce === true
        ? { sinks: [{ mayLag: true, write: (event) => void events.push(event), end: () => {} }] }
        : { onBatch: () => (plan.verify === true ? verifier.verify(session.monitor) : undefined) }),
    });
    for (const { va, pages: count } of plan.ranges) await session.watch({ root, va, byteLength: count * 4096 });
    const isEnough = () => plan.until === undefined || plan.until(events);
    const work = this.#work(plan.commands, plan.timeoutMs).finally(() => {
      if (isEnough()) enough.abort();
      plan = { ...plan, commands: [] };
      done = true;
    });
    let done = false;
    // The failure of the work is told by awaiting it; until then it must not end the process.
    work.catch(() => enough.abort());
    if (plan.atOnce === true) await session.run();
    for await (const event of plan.atOnce === true ? [] : session) {
      events.push(event);
      plan.onEvent?.(events.length);
      if (done && isEnough()) break;
    }
    const reports = await work;
    return {
      events,
      reports,
      statistics: session.statistics(),
      stops: driver.statistics,
      compared: verifier.compared,
      disagreements,
    };
  }

  async #work(commands: WatchPlan['commands'], timeoutMs = 120_000): Promise<WorkloadReport[]> {
    const reports: WorkloadReport[] = [];
    for (const command of commands) {
      if (typeof command === 'string') reports.push(...(await this.guest.workload.command(command, { timeoutMs })));
      else await command();
    }
    return reports;
  }

  stop(): Promise<void> {
    return this.guest.stop();
  }
}
