/** What every command does that looks at one address space of a snapshot: opens it, finds the space, prints, lets go. */
import { PtmonError } from '../../core/error.ts';
import type { LongWorkOptions } from '../../driver/pacer.ts';
import type { Snapshot } from '../../driver/snapshot.ts';
import type { TextOutput } from '../../sinks/text-output.ts';
import { type AddressSpace, findAddressSpace } from '../../snapshot/index.ts';
import { openSnapshot, type SourceName } from './open-snapshot.ts';
import { ProgressLine } from './progress-line.ts';
import { type SourceAndSpaceOptions, spaceRequest } from './source-options.ts';

export interface VisitStreams {
  readonly output: TextOutput;
  readonly messages: TextOutput;
}

export interface Visit {
  readonly snapshot: Snapshot;
  readonly space: AddressSpace;
  /** For whatever takes long. */
  readonly work: LongWorkOptions & { readonly signal: AbortSignal };
  /** Prints; of a live guest, once it runs on: whoever reads slowly holds up no guest. */
  print(text: string): void | Promise<void>;
}

/**
 * Work with a line that says how far it is, while `run` runs.
 *
 * @param run is also given what takes the line away, for before something is printed
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

/** What is missing or odd in a source. */
export function warningLines({ warnings = [] }: Snapshot): string {
  return warnings.map((warning) => `ptmon: warning: ${warning}\n`).join('');
}

/** @throws as `openSnapshot`, `findAddressSpace` and `look` */
export async function visitSnapshot(
  source: SourceName,
  options: SourceAndSpaceOptions,
  { output, messages }: VisitStreams,
  signal: AbortSignal,
  look: (visit: Visit) => Promise<void>,
): Promise<void> {
  const texts: string[] = [];
  let said = '';
  await withProgress(messages, signal, async (work, clear) => {
    const snapshot = await openSnapshot(source, options, work);
    try {
      clear();
      await messages.write(warningLines(snapshot));
      const space = await findAddressSpace(snapshot, spaceRequest(options), work);
      said = `${snapshot.description}\n${space.isGuess ? `${space.from}\n` : ''}`;
      const print = (text: string) => {
        if (source === undefined) return void texts.push(text);
        clear();
        return output.write(text);
      };
      clear();
      await look({ snapshot, space, work, print });
    } catch (error) {
      throw withSource(error, source);
    } finally {
      await snapshot.close();
    }
  });
  await output.write(texts.join(''));
  await messages.write(said);
}

/** What is wrong at an offset or with a root is named by its source, which of two may be the other one; the rest is named here. */
function withSource(error: unknown, source: SourceName): unknown {
  if (!(error instanceof PtmonError) || error.code !== 'corrupt-input' || source === undefined) return error;
  const { offset, root } = error.facts;
  if (offset !== undefined || root !== undefined || error.message.startsWith(source)) return error;
  return new PtmonError(error.code, `${source}: ${error.message}`, error.facts, { cause: error });
}
