/** The demo: a simulated guest, with all areas of its processes watched. */
import type { PagingModeName } from '../../../core/paging/modes.ts';
import { createSimDriver } from '../../../testing/index.ts';
import { recordTrace } from '../../../drivers/trace/index.ts';
import { openSession } from '../../../session/session.ts';
import { jsonlSink } from '../../../sinks/jsonl.ts';
import type { TextOutput } from '../../../sinks/text-output.ts';
import type { EventOptions } from '../../options/events.ts';
import { demoView } from './demo-view.ts';
import { type Attachment, GuestWatch } from './guest-watch.ts';

export interface DemoOptions extends EventOptions {
  readonly seed: number;
  readonly steps: number;
  /** Steps of the guest before the watch begins. */
  readonly after: number;
  readonly vcpus: number;
  readonly mode: PagingModeName;
  readonly isolation?: boolean;
  readonly selfMap?: boolean;
  /** The file of a trace. */
  readonly record?: string;
  readonly force?: boolean;
}

/** Runs the guest to its end, or until `signal` is aborted. @throws PtmonError, or what `output` throws */
export async function runDemo(options: DemoOptions, output: TextOutput, signal: AbortSignal): Promise<void> {
  const { seed, steps, after, vcpus, mode, isolation = false, selfMap = false, kinds = [], record } = options;
  const header = { seed, steps, after, vcpus, isolation, selfMap };
  const sim = createSimDriver({ ...header, steps: after + steps, mode });
  const recorder =
    record === undefined
      ? undefined
      : recordTrace(record, { options: header, title: titleOf(options), force: options.force ?? false });
  const introduction = (): string => introductionText(options, watch.attachment);
  const sink = options.json
    ? jsonlSink(output, { options: header })
    : demoView({ output, guest: sim.guest, introduction });
  const session = await openSession({
    driver: sim,
    ...(recorder !== undefined && { recorder }),
    kinds,
    sinks: [sink],
    signal,
    onBatch: () => watch.update(),
  });
  const watch = new GuestWatch(sim.guest, session.monitor, after);
  await session.run();
}

function titleOf({ mode, seed, vcpus }: DemoOptions): string {
  return `A simulated guest: ${mode} paging, ${count(vcpus, 'vCPU')}, seed ${seed}.`;
}

function introductionText(options: DemoOptions, attachment: Attachment | undefined): string {
  const { areas, pages, processes } = attachment ?? { areas: 0, pages: 0, processes: 0 };
  return [
    titleOf(options),
    `Watching ${count(processes, 'process')}: ${count(areas, 'area')}, ${count(pages, 'page')} backed (+ page in, - page out).`,
  ].join('\n');
}

function count(n: number, what: string): string {
  return `${n} ${what}${n === 1 ? '' : what.endsWith('s') ? 'es' : 's'}`;
}
