/** What a trace says about its recording. */
import { OPT_IN_KINDS, type OptInKind } from '../../core/monitor/events.ts';
import type { TraceAbout } from '../../drivers/trace/index.ts';
import { printable } from '../../sinks/printable.ts';
import type { Summary } from '../../sinks/sink.ts';

/** The recorded opt-in kinds that this version knows, in the order of the recording, which the header of the JSONL keeps. */
export function recordedKinds({ kinds }: TraceAbout): OptInKind[] {
  return kinds.filter((kind): kind is OptInKind => OPT_IN_KINDS.some((known) => known === kind));
}

/** What was recorded, when, from what and how. @param summary of the events, once they are known: before, nothing is claimed of them */
export function introductionText(about: TraceAbout, mode: string, summary?: Summary): string {
  const { title, source, vcpuCount, startedAt } = about;
  const vcpus = vcpuCount === undefined ? '' : `, ${vcpuCount} ${vcpuCount === 1 ? 'vCPU' : 'vCPUs'}`;
  const day = startedAt.slice(0, 10);
  return [
    ...(title === '' ? [] : [printable(title)]),
    `Recorded${day === '' ? '' : ` on ${day}`} from ${printable(source)}: ${mode} paging${vcpus}.`,
    captureText(about.capture, summary),
  ].join('\n');
}

function captureText(capture: TraceAbout['capture'], summary: Summary | undefined): string {
  if (capture === 'samples') return 'Sampled: it misses what changed and changed back between two samples.';
  const means = capture === 'traps' ? 'watchpoints on the watched entries' : 'write-protected tables';
  if (summary === undefined) return `Recorded with ${means}; the end says what was lost.`;
  const { known, unknown } = summary.lost;
  if (summary.ended === 'failed') return `Recorded with ${means}; the recording is damaged.`;
  if (unknown || known > 0) return `Recorded with ${means}, but not exact: see the lost events below.`;
  return `Exact: it contains each write to a watched ${capture === 'traps' ? 'entry' : 'table'}.`;
}
