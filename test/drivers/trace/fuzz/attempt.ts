/** Does with a file all that is done with traces. Whatever the file is, that ends: well, or with an error that says where. */
import { writeFileSync } from 'node:fs';
import { Writable } from 'node:stream';
import { StatTally } from '../../../../src/cli/commands/stat/stat-tally.ts';
import { PtmonError } from '../../../../src/core/error.ts';
import { openTrace, openTraceSnapshot, TraceReader } from '../../../../src/drivers/trace/index.ts';
import { openSession } from '../../../../src/session/index.ts';
import { csvSink } from '../../../../src/sinks/csv.ts';
import type { Sink } from '../../../../src/sinks/sink.ts';
import { TextOutput } from '../../../../src/sinks/text-output.ts';
import { ChromeWriter } from '../../../../src/sinks/timeline/chrome-writer.ts';
import { PerfettoWriter } from '../../../../src/sinks/timeline/perfetto-writer.ts';
import { timelineSink } from '../../../../src/sinks/timeline/timeline-sink.ts';

/** What a file of a few kilobytes may take at most, on a machine that does other things besides. */
const MAX_MS = 15_000;
const MAX_RSS_BYTES = 1.5 * 2 ** 30;

export interface Outcome {
  /** Whether the file was whole. */
  readonly isWhole: boolean;
  readonly instants: number;
  readonly events: number;
}

/** @throws where anything but a well-formed answer came of it */
export async function attempt(bytes: Buffer, path: string): Promise<Outcome> {
  writeFileSync(path, bytes);
  const startMs = performance.now();
  const { instants, failureCode, isWhole } = readAll(path);
  let events = 0;
  await expectWellFormed(failureCode, async () => {
    const { driver, script } = openTrace(path);
    const tally = new StatTally();
    const sinks = sinksFor(() => driver.timeUs);
    await using session = await openSession({
      driver,
      script,
      kinds: ['protection', 'restructure', 'root-gone'],
      sinks,
    });
    for await (const event of session) {
      events++;
      tally.addEvent(event, driver.timeUs);
    }
  });
  await expectWellFormed(undefined, async () => {
    await openTraceSnapshot(path).close();
  });
  const tookMs = performance.now() - startMs;
  if (tookMs > MAX_MS) throw new Error(`it took ${tookMs.toFixed(0)} ms`);
  const { rss } = process.memoryUsage();
  if (rss > MAX_RSS_BYTES) throw new Error(`the process has ${(rss / 2 ** 20).toFixed(0)} MiB`);
  return { isWhole, instants, events };
}

/** All that a trace is exported to. */
function sinksFor(timeUs: () => number): Sink[] {
  const nowhere = () => new TextOutput(new Writable({ write: (_chunk, _encoding, done) => done() }));
  const backedPages = () => 0;
  return [
    ...[new PerfettoWriter(), new ChromeWriter()].map((writer) =>
      timelineSink({ output: nowhere(), writer, timeUs, backedPages }),
    ),
    csvSink(nowhere(), timeUs),
  ];
}

function readAll(path: string) {
  let instants = 0;
  let reader: TraceReader | undefined;
  try {
    reader = new TraceReader(path);
    for (const _instant of reader.instants()) instants++;
    return { instants, isWhole: true, failureCode: reader.end?.failure?.code };
  } catch (error) {
    checkError(error, undefined);
    return { instants, isWhole: false, failureCode: undefined };
  } finally {
    reader?.close();
  }
}

async function expectWellFormed(failureCode: string | undefined, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    checkError(error, failureCode);
  }
}

/** @param failureCode what the recorded session says that it failed with: a replay fails with the same */
function checkError(error: unknown, failureCode: string | undefined): void {
  if (error instanceof PtmonError) {
    if (error.code === 'corrupt-input' && error.facts.offset !== undefined && /: at byte \d+/.test(error.message))
      return;
    if (failureCode !== undefined && error.code === failureCode) return;
  }
  throw new Error('an error that is none of ours', { cause: error });
}
