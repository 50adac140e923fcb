/** A life of the simulated guest, everything that its processes have watched from its first step on, recorded. */
import { GuestWatch } from '../../../src/cli/commands/demo/guest-watch.ts';
import type { OptInKind } from '../../../src/core/monitor/events.ts';
import { createSimDriver, type SimOptions } from '../../../src/testing/index.ts';
import { recordTrace } from '../../../src/drivers/trace/index.ts';
import { openSession, type SystemLayer } from '../../../src/session/index.ts';
import type { Sink } from '../../../src/sinks/sink.ts';

/** What the header of its JSONL says. */
export const HEADER = { watch: 'all' };

/** Runs to its end. */
export async function recordLife(
  path: string,
  options: SimOptions,
  kinds: readonly OptInKind[] = [],
  { sinks = [], system }: { readonly sinks?: readonly Sink[]; readonly system?: SystemLayer | undefined } = {},
): Promise<void> {
  const sim = createSimDriver(options);
  const recorder = recordTrace(path, { options: HEADER, title: 'a simulated guest' });
  const session = await openSession({
    driver: sim,
    recorder,
    kinds,
    sinks,
    ...(system !== undefined && { system }),
    onBatch: () => watch.update(),
  });
  const watch = new GuestWatch(sim.guest, session.monitor, 0);
  await session.run();
}
