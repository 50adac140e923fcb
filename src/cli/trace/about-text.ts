/** What a trace says about its recording. */
import type { OptInKind } from '../../core/monitor/events.ts';
import type { TraceAbout } from '../../drivers/trace/index.ts';
import { printable } from '../../sinks/printable.ts';
import { OPT_IN_KINDS } from '../options/values.ts';

/** The recorded opt-in kinds that this version knows, in the order of the recording, which the header of the JSONL keeps. */
export function recordedKinds({ kinds }: TraceAbout): OptInKind[] {
  return kinds.filter((kind): kind is OptInKind => OPT_IN_KINDS.some((known) => known === kind));
}

/** What was recorded, when, from what and how. */
export function introductionText(about: TraceAbout, mode: string): string {
  const { title, source, vcpuCount, startedAt } = about;
  const vcpus = vcpuCount === undefined ? '' : `, ${vcpuCount} ${vcpuCount === 1 ? 'vCPU' : 'vCPUs'}`;
  const day = startedAt.slice(0, 10);
  return [
    ...(title === '' ? [] : [printable(title)]),
    `Recorded${day === '' ? '' : ` on ${day}`} from ${printable(source)}: ${mode} paging${vcpus}.`,
    CAPTURE_TEXT[about.capture],
  ].join('\n');
}

const CAPTURE_TEXT: Readonly<Record<TraceAbout['capture'], string>> = {
  protection: 'Exact: it contains each write to a watched table.',
  traps: 'Exact: it contains each write to a watched entry.',
  samples: 'Sampled: it misses what changed and changed back between two samples.',
};
