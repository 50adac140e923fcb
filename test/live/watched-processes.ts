/** A real guest whose processes are watched while it does as it is told. */
import { readFileSync } from 'node:fs';
import type { MonitorEvent } from '../../src/core/monitor/events.ts';
import type { Driver } from '../../src/driver/driver.ts';
import { openQemu, openQemuSampling } from '../../src/drivers/qemu/index.ts';
import type { LaunchedGuest } from '../../src/drivers/qemu/launch/launch.ts';
import type { WorkloadReport } from '../../src/drivers/qemu/launch/workload-report.ts';
import { Btf, openLinux, type ProcessSelection, ProcessWatch } from '../../src/linux/index.ts';
import { openSession } from '../../src/session/session.ts';
import type { Summary } from '../../src/sinks/sink.ts';

export interface Watched {
  readonly events: readonly MonitorEvent[];
  readonly reports: readonly WorkloadReport[];
  readonly notices: readonly string[];
  readonly summary: Summary;
  /** Watchpoints before the work, and after it; null where there are none. */
  readonly watchpoints: { readonly before: number; readonly after: number } | null;
}

export interface Plan {
  readonly selection: ProcessSelection;
  readonly sampled?: boolean;
  readonly commands: readonly string[];
  /** Whether everything that is waited for has been seen, once the work is done. */
  readonly until?: (events: readonly MonitorEvent[]) => boolean;
}

export async function watchProcesses(guest: LaunchedGuest, plan: Plan): Promise<Watched> {
  const { qmpPath: qmp, gdbPath: gdb } = guest;
  const exact = plan.sampled === true ? undefined : await openQemu({ qmp, gdb });
  const driver: Driver = exact ?? (await openQemuSampling({ qmp, intervalMs: 10 }));
  const over = new AbortController();
  const notices: string[] = [];
  const { types } = guest.kernel;
  const linux = await openLinux(driver, types === undefined ? {} : { types: new Btf(readFileSync(types)) });
  const system = new ProcessWatch({
    linux,
    selection: plan.selection,
    isExact: exact !== undefined,
    vcpuCount: driver.registers?.vcpuCount ?? 1,
    onNotice: (text) => notices.push(text),
    onEnd: () => over.abort(),
  });
  const events: MonitorEvent[] = [];
  let isDone = false;
  let before: number | undefined;
  const isEnough = () => isDone && (plan.until?.(events) ?? true);
  const session = await openSession({
    driver,
    system,
    kinds: ['root-gone'],
    signal: over.signal,
    onBatch: () => {
      before ??= exact?.statistics.watchpoints;
      if (isEnough()) over.abort();
    },
  });
  await system.begin(session);
  const work = (async () => {
    const reports: WorkloadReport[] = [];
    for (const command of plan.commands) {
      reports.push(...(await guest.workload.command(command, { timeoutMs: 280_000 })));
    }
    return reports;
  })();
  work.then(
    () => {
      isDone = true;
      // Nothing may happen any more that would stop the guest.
      if (isEnough()) over.abort();
    },
    () => over.abort(),
  );
  for await (const event of session) events.push(event);
  const reports = await work;
  const watchpoints = exact && { before: before ?? 0, after: exact.statistics.watchpoints };
  return { events, reports, notices, summary: session.summary(), watchpoints: watchpoints ?? null };
}

/** Of each process, by its tag: what was said of it, in order. */
export function byProcess(events: readonly MonitorEvent[]): Map<string, MonitorEvent[]> {
  const all = new Map<string, MonitorEvent[]>();
  for (const event of events) {
    const tag = String(event.tags[0]);
    all.set(tag, [...(all.get(tag) ?? []), event]);
  }
  return all;
}
