/** What a source counts, for Prometheus (docs/web.md). */
import { EVENT_KINDS } from '../../core/monitor/events.ts';
import { type Metric, prometheusText } from '../../sinks/prometheus.ts';
import type { SceneSource, SourceCounts } from '../scene/scene-source.ts';

/** Processes with most memory that have metrics of their own: each is several time series. */
const MAX_PROCESSES = 50;
const PAGE_BYTES = 4096;

export function metricsText(source: SceneSource): string {
  return prometheusText(metricsOf(source.counts()));
}

function metricsOf({ up, events, pages, processes }: SourceCounts): Metric[] {
  const byKind = (values: SourceCounts['events']) => EVENT_KINDS.map((kind) => [{ kind }, values[kind] ?? 0] as const);
  const largest = [...processes].sort((a, b) => b.resident - a.resident).slice(0, MAX_PROCESSES);
  return [
    {
      name: 'ptmon_up',
      help: 'Whether the guest is still there; 1 for a file.',
      type: 'gauge',
      values: [[{}, up ? 1 : 0]],
    },
    {
      name: 'ptmon_events_total',
      help: 'Events of followed processes, by kind.',
      type: 'counter',
      values: byKind(events),
    },
    {
      name: 'ptmon_event_pages_total',
      help: '4 KiB pages that these events are about, by kind.',
      type: 'counter',
      values: byKind(pages),
    },
    {
      name: 'ptmon_processes',
      help: 'Processes with memory of their own.',
      type: 'gauge',
      values: [[{}, processes.length]],
    },
    {
      name: 'ptmon_process_memory_bytes',
      help: 'Memory of the largest processes: resident, in leaves larger than 4 KiB (large), swapped.',
      type: 'gauge',
      values: largest.flatMap(({ pid, name, ...memory }) =>
        (['resident', 'large', 'swapped'] as const).map(
          (state) => [{ pid: String(pid), comm: name, state }, memory[state] * PAGE_BYTES] as const,
        ),
      ),
    },
  ];
}
