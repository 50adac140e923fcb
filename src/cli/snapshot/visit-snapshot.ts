/** The work of every command that examines one address space of a snapshot: open it, find the space, print, close it. */
import { PtmonError } from '../../core/error.ts';
import type { LongWorkOptions } from '../../driver/pacer.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import { type AddressSpace, findAddressSpace } from '../../snapshot/index.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import type { Streams } from '../context.ts';
import { refuseTwoSpaces, type SourceAndSpaceOptions, type SourceName, spaceRequest } from '../options/source.ts';
import { ProgressLine } from '../output/progress-line.ts';
import { LinuxView, spaceOf } from './linux-view.ts';
import { openSnapshot } from './open-snapshot.ts';
import { printStatus } from '../output/status-lines.ts';

export interface VisitRequest {
  readonly source: SourceName;
  readonly options: SourceAndSpaceOptions;
  readonly streams: Streams;
  readonly signal: AbortSignal;
}

export interface Visit {
  readonly snapshot: Snapshot;
  readonly space: AddressSpace;
  /** What is known of the guest's Linux. */
  readonly linux: LinuxView;
  /** For work that may take long. */
  readonly work: LongWorkOptions & { readonly signal: AbortSignal };
  /** Prints; for a live guest, after it has resumed, so that a slow reader does not keep it paused. */
  print(text: string): void | Promise<void>;
}

/**
 * Shows progress while `run` runs.
 *
 * @param run is also given a function that removes the progress line, to call before it prints
 */
export async function withProgress<T>(
  messages: TextOutput,
  signal: AbortSignal,
  run: (work: Visit['work'], clear: () => void) => Promise<T>,
): Promise<T> {
  const line = new ProgressLine(messages);
  try {
    return await run({ signal, onProgress: line.report }, () => line.clear());
  } finally {
    line.clear();
  }
}

/** What is missing or inconsistent in a source. */
export function warningLines({ warnings = [] }: Pick<Snapshot, 'warnings'>): string {
  return warnings.map((warning) => `ptmon: warning: ${warning}\n`).join('');
}

/** @throws as `openSnapshot`, `findAddressSpace` and `examine` */
export async function visitSnapshot(
  { source, options, streams: { output, messages }, signal }: VisitRequest,
  examine: (visit: Visit) => Promise<void>,
): Promise<void> {
  const texts: string[] = [];
  let description = '';
  await withProgress(messages, signal, async (work, clear) => {
    const snapshot = await openSnapshot(source, options, work);
    try {
      clear();
      await printStatus(messages, warningLines(snapshot));
      refuseTwoSpaces(options);
      const found = await findAddressSpace(snapshot, spaceRequest(options), work);
      if (found.doubt !== undefined) await printStatus(messages, `ptmon: warning: ${found.doubt}`);
      const warnings: string[] = [];
      const onWarning = (warning: string) => void warnings.push(warning);
      const linux = new LinuxView({ snapshot, space: found, options, work, onWarning });
      const process = await linux.process();
      // Before anything is printed: a wrong file of types or symbols is refused at once.
      if (options.btf !== undefined) await linux.guest();
      if (options.symbols !== undefined) await linux.names();
      await printStatus(messages, warningLines({ warnings }));
      const space = process === undefined ? found : spaceOf(process, found);
      description = `${snapshot.description}\n${space.isGuess ? `${space.from}\n` : ''}`;
      const print = (text: string) => {
        if (source === undefined) return void texts.push(text);
        clear();
        return output.write(text);
      };
      clear();
      await examine({ snapshot, space, linux, work, print });
    } catch (error) {
      throw withSource(error, source);
    } finally {
      await snapshot.close();
    }
  });
  await output.write(texts.join(''));
  await printStatus(messages, description);
}

/** Errors with an offset or a root already name their source, which may be the other one of two. Adds the name to the rest. */
function withSource(error: unknown, source: SourceName): unknown {
  if (!(error instanceof PtmonError) || error.code !== 'corrupt-input' || source === undefined) return error;
  const { offset, root } = error.facts;
  if (offset !== undefined || root !== undefined || error.message.startsWith(source)) return error;
  return new PtmonError(error.code, `${source}: ${error.message}`, error.facts, { cause: error });
}
