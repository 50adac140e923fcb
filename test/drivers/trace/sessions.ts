/** Sessions whose whole output is kept as text: recorded ones, and replays of them. */
import { Writable } from 'node:stream';
import type { OptInKind } from '../../../src/core/monitor/events.ts';
import { GuestWatch } from '../../../src/cli/demo/guest-watch.ts';
import type { Driver } from '../../../src/driver/index.ts';
import { createSimDriver, type SimOptions } from '../../../src/drivers/sim/index.ts';
import { openTrace, recordDriver, type TraceOptions } from '../../../src/drivers/trace/index.ts';
import { openSession, type Session } from '../../../src/session/index.ts';
import { jsonlSink } from '../../../src/sinks/index.ts';

/** A stream that keeps what is written to it. */
export class KeptText extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

const HEADER = { watch: 'all' };

/** Runs a session on any driver to its end, or to that of its source. */
export async function runAsJsonl(
  driver: Driver,
  kinds: readonly OptInKind[],
  setUp: (session: Session) => void | (() => void) = () => {},
): Promise<string> {
  const output = new KeptText();
  let onBatch: (() => void) | undefined;
  const session = await openSession({
    driver,
    kinds,
    sinks: [jsonlSink(output, { options: HEADER })],
    onBatch: () => onBatch?.(),
  });
  onBatch = setUp(session) ?? undefined;
  await session.run().catch(() => {});
  return output.text;
}

/** A life of the simulated guest, everything that its processes have watched from its first step on, recorded. */
export async function recordSim(path: string, options: SimOptions, kinds: readonly OptInKind[] = []): Promise<string> {
  const sim = createSimDriver(options);
  const driver = recordDriver(sim, path, { options: HEADER, title: 'a simulated guest' });
  return runAsJsonl(driver, kinds, (session) => {
    const watch = new GuestWatch(sim.guest, session.monitor, 0);
    return () => watch.update();
  });
}

export async function replay(
  path: string,
  kinds: readonly OptInKind[] = [],
  options: TraceOptions = {},
): Promise<string> {
  return runAsJsonl(openTrace(path, options), kinds);
}
