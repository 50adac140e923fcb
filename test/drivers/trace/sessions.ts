/** Sessions whose whole output is kept as text: recorded ones, and replays of them. */
import { Writable } from 'node:stream';
import type { OptInKind } from '../../../src/core/monitor/events.ts';
import type { SimOptions } from '../../../src/testing/index.ts';
import { openTrace, type TraceOptions } from '../../../src/drivers/trace/index.ts';
import { openSession, type SystemLayer } from '../../../src/session/index.ts';
import { jsonlSink } from '../../../src/sinks/index.ts';
import { HEADER, recordLife } from './recorded-life.ts';

/** A stream that keeps what is written to it. */
export class KeptText extends Writable {
  text = '';

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text += chunk.toString();
    done();
  }
}

/** Answers what was said live. */
export async function recordSim(
  path: string,
  options: SimOptions,
  kinds: readonly OptInKind[] = [],
  system?: SystemLayer,
): Promise<string> {
  const output = new KeptText();
  await recordLife(path, options, kinds, { system, sinks: [jsonlSink(output, { options: HEADER, time: true })] });
  return output.text;
}

export interface Replayed {
  readonly text: string;
  readonly failure: unknown;
}

/** Answers what was said, and what it failed with. */
export async function tryReplay(
  path: string,
  kinds: readonly OptInKind[] = [],
  options: TraceOptions = {},
): Promise<Replayed> {
  const output = new KeptText();
  let failure: unknown;
  try {
    const trace = openTrace(path, options);
    await using session = await openSession({
      ...trace,
      kinds,
      sinks: [jsonlSink(output, { options: HEADER, time: true })],
    });
    await session.run();
  } catch (error) {
    failure = error;
  }
  return { text: output.text, failure };
}

/** Answers what was said. @throws what it failed with */
export async function replay(path: string, kinds: readonly OptInKind[] = []): Promise<string> {
  const { text, failure } = await tryReplay(path, kinds);
  if (failure !== undefined) throw failure;
  return text;
}
