/** The state of an agent, for Prometheus and as healthy or not (docs/fleet.md). */
import { type Metric, prometheusText } from '../../sinks/prometheus.ts';
import type { AgentStatus } from './agent.ts';
import type { VmStatus } from './vm-process.ts';

/** Whether each VM that can be watched is, by a process or to the end of its recording, and the archive or the broker takes the events. */
export function isHealthy({ vms, archive, broker }: AgentStatus): boolean {
  return vms.every(({ state }) => state !== 'waiting') && ((archive ?? broker)?.problem ?? null) === null;
}

type VmMetric = readonly [name: string, help: string, type: Metric['type'], value: (vm: VmStatus) => number];

const OF_VMS: readonly VmMetric[] = [
  ['watched', 'whether a process watches the VM', 'gauge', ({ pid }) => Number(pid !== null)],
  ['events_total', 'events in the journal', 'counter', ({ counts }) => counts.events],
  ['limited_total', 'events above the rate limit', 'counter', ({ counts }) => counts.limited],
  ['unwritten_total', 'events that the disk did not take', 'counter', ({ counts }) => counts.unwritten],
  ['restarts_total', 'processes started again', 'counter', ({ restarts }) => restarts],
];

export function metricsText({ seconds, reloads, archive, broker, vms }: AgentStatus): string {
  const own = [
    ['seconds', 'seconds since the agent started', 'gauge', seconds],
    ['reloads_total', 'policies read since the agent started', 'counter', reloads],
    ['archived_total', 'rows moved to the archive since the agent started', 'counter', archive?.moved ?? 0],
    ['sent_total', 'lines that the broker has acknowledged since the agent started', 'counter', broker?.moved ?? 0],
    ['dropped_total', 'events that the spool had no room for since the agent started', 'counter', broker?.dropped ?? 0],
  ] as const;
  return prometheusText([
    ...own.map(([name, help, type, value]) => ({
      name: `ptmon_agent_${name}`,
      help,
      type,
      values: [[{}, value]] as const,
    })),
    ...OF_VMS.map(([name, help, type, value]) => ({
      name: `ptmon_agent_vm_${name}`,
      help,
      type,
      values: vms.map((vm) => [{ vm: vm.vm, boot: vm.boot }, value(vm)] as const),
    })),
  ]);
}
