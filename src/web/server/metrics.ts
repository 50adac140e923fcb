/**
 * What a source counts, in the text format of Prometheus (docs/web.md). prom-client writes the same text, which a test holds; it and what it
 * needs are 80 KB of a package of 1.5 MB.
 */
import type { SceneSource, SourceCounts } from '../scene/scene-source.ts';

/** The format's own media type. */
export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8';

/** Processes with most memory that have metrics of their own: each is several time series. */
const MAX_PROCESSES = 50;
const PAGE_BYTES = 4096;

type Labels = Readonly<Record<string, string>>;

interface Metric {
  readonly name: string;
  readonly help: string;
  readonly type: 'counter' | 'gauge';
  readonly values: readonly (readonly [labels: Labels, value: number])[];
}

export function metricsText(source: SceneSource): string {
  return metricsOf(source.counts()).map(metricText).join('\n');
}

const KINDS = ['page-in', 'page-out', 'protection', 'restructure', 'root-gone'] as const;

function metricsOf({ up, events, pages, processes }: SourceCounts): Metric[] {
  const byKind = (values: SourceCounts['events']) => KINDS.map((kind) => [{ kind }, values[kind] ?? 0] as const);
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

function metricText({ name, help, type, values }: Metric): string {
  const lines = values.map(([labels, value]) => `${name}${labelText(labels)} ${value}\n`);
  return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${lines.join('')}`;
}

/** A guest chooses some of the values. */
function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"');
}
