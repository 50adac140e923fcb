/** Replays a trace into the format of another program. */
import { once } from 'node:events';
import { createWriteStream, statSync, type WriteStream } from 'node:fs';
import { finished } from 'node:stream/promises';
import { PtmonError } from '../../../core/error.ts';
import type { PageTableMonitor } from '../../../core/monitor/page-table-monitor.ts';
import { expectUnusedFile } from '../../../driver/output-file.ts';
import { openTrace } from '../../../drivers/trace/index.ts';
import { openSession, type Session } from '../../../session/session.ts';
import { csvSink } from '../../../sinks/csv.ts';
import type { Sink } from '../../../sinks/sink.ts';
import { TextOutput } from '../../../sinks/text-output.ts';
import { ChromeWriter } from '../../../sinks/timeline/chrome-writer.ts';
import { PerfettoWriter } from '../../../sinks/timeline/perfetto-writer.ts';
import { type BackedPage, timelineSink, type TimelineSink } from '../../../sinks/timeline/timeline-sink.ts';
import type { Streams } from '../../context.ts';
import { recordedKinds } from '../../trace/about-text.ts';
import type { TimedNote } from '../../trace/replay-view.ts';
import { printStatus } from '../../output/status-lines.ts';

export interface ExportOptions {
  readonly format: 'perfetto' | 'chrome' | 'csv';
  /** A file; defaults to standard output. */
  readonly output?: string;
}

/** @throws PtmonError as `openTrace`; `bad-argument` for binary output to a terminal; what the output throws */
export async function runExport(
  path: string,
  options: ExportOptions,
  { output, messages }: Streams,
  signal: AbortSignal,
): Promise<void> {
  if (options.output === undefined) {
    if (options.format === 'perfetto' && 'isTTY' in output.stream && output.stream.isTTY === true) {
      throw new PtmonError(
        'bad-argument',
        'the perfetto format is binary, and standard output is a terminal: give --output FILE, or pipe it',
      );
    }
    return exportTo({ output, messages }, path, options.format, signal);
  }
  expectOther(path, options.output);
  // An invalid trace must not cost the user the existing output file.
  await openTrace(path).driver.close();
  const file = await createFile(options.output);
  try {
    await exportTo({ output: new TextOutput(file), messages }, path, options.format, signal);
  } finally {
    file.end();
    await finished(file);
  }
}

/** @throws PtmonError `bad-argument` where the file cannot be created */
async function createFile(path: string): Promise<WriteStream> {
  expectUnusedFile(path);
  const file = createWriteStream(path);
  try {
    await once(file, 'open');
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new PtmonError('bad-argument', `--output ${path}: cannot be written (${code})`, {}, { cause: error });
  }
  return file;
}

/** @throws PtmonError `bad-argument` where the output would overwrite the trace itself */
function expectOther(path: string, output: string): void {
  const [trace, there] = [path, output].map((each) => statSync(each, { throwIfNoEntry: false }));
  if (trace === undefined || there === undefined || trace.ino !== there.ino || trace.dev !== there.dev) return;
  throw new PtmonError('bad-argument', `--output ${output}: is the trace itself; give another file`);
}

async function exportTo(
  { output, messages }: Streams,
  path: string,
  format: ExportOptions['format'],
  signal: AbortSignal,
): Promise<void> {
  let timeline: TimelineSink | undefined;
  // Opening the trace delivers its first instant.
  const early: TimedNote[] = [];
  const { driver, script } = openTrace(path, {
    onInstant: ({ steps, timeUs }) => {
      for (const step of steps) {
        if (step.type !== 'note') continue;
        if (timeline === undefined) early.push({ text: step.text, timeUs });
        else timeline.note(step.text, timeUs);
      }
    },
  });
  const timeUs = () => driver.timeUs;
  const backedPages = () => session.monitor.pagedInEntries();
  let sink: Sink;
  if (format === 'csv') {
    sink = csvSink(output, timeUs);
  } else {
    const writer = format === 'perfetto' ? new PerfettoWriter() : new ChromeWriter();
    sink = timeline = timelineSink({ output, writer, timeUs, backedPages });
  }
  const session: Session = await openSession({
    driver,
    script,
    kinds: recordedKinds(driver.about),
    sinks: [sink],
    signal,
  });
  try {
    timeline?.start(backedAddresses(session.monitor));
    for (const note of early) timeline?.note(note.text, note.timeUs);
    await session.run();
  } finally {
    await session.close();
    if (timeline !== undefined && timeline.leftOut > 0) {
      await printStatus(
        messages,
        `${timeline.leftOut} page changes left out: the programs that show this format are limited to a few thousand tracks`,
      );
    }
  }
}

/** The single watched addresses that are backed. */
function* backedAddresses(monitor: PageTableMonitor): Generator<BackedPage> {
  for (const { view, root, va, pa, pageSize, tags } of monitor.dump().addresses) {
    if (pa !== null && pageSize !== null) yield { view, root, va, pa, pageSize, tags };
  }
}
