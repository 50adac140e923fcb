/** The state of an agent as metrics: text exposition format 0.0.4 of Prometheus. */
import type { AgentStatus } from './agent.ts';
import type { VmStatus } from './vm-process.ts';

/** Whether each VM that can be watched is, by a process or to the end of its recording, and the archive or the broker takes the events. */
export function isHealthy({ vms, archive, broker }: AgentStatus): boolean {
  return vms.every(({ state }) => state !== 'waiting') && ((archive ?? broker)?.problem ?? null) === null;
}

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly value: (vm: VmStatus) => number;
}

const METRICS: readonly Metric[] = [
  { name: 'watched', help: 'whether a process watches the VM', type: 'gauge', value: (vm) => Number(vm.pid !== null) },
  { name: 'events_total', help: 'events in the journal', type: 'counter', value: ({ counts }) => counts.events },
  {
    name: 'limited_total',
    help: 'events above the rate limit',
    type: 'counter',
    value: ({ counts }) => counts.limited,
  },
  {
    name: 'unwritten_total',
    help: 'events that the disk did not take',
    type: 'counter',
    value: ({ counts }) => counts.unwritten,
  },
  { name: 'restarts_total', help: 'processes started again', type: 'counter', value: ({ restarts }) => restarts },
];

export function metricsText({ seconds, reloads, archive, broker, vms }: AgentStatus): string {
  const own = [
    ['ptmon_agent_seconds', 'seconds since the agent started', 'gauge', seconds],
    ['ptmon_agent_reloads_total', 'policies read since then', 'counter', reloads],
    ['ptmon_agent_archived_total', 'rows moved to the archive since then', 'counter', archive?.moved ?? 0],
    ['ptmon_agent_sent_total', 'lines that the broker has acknowledged since then', 'counter', broker?.moved ?? 0],
    ['ptmon_agent_dropped_total', 'events that the spool had no room for since then', 'counter', broker?.dropped ?? 0],
  ] as const;
  const lines = own.flatMap(([name, help, type, value]) => [...heading(name, help, type), `${name} ${value}`]);
  for (const { name, help, type, value } of METRICS) {
    const full = `ptmon_agent_vm_${name}`;
    lines.push(...heading(full, help, type));
    for (const vm of vms) lines.push(`${full}{vm="${escaped(vm.vm)}",boot="${vm.boot}"} ${value(vm)}`);
  }
  return `${lines.join('\n')}\n`;
}

function heading(name: string, help: string, type: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`];
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('"', '\\"').replaceAll('\n', '\\n');
}
