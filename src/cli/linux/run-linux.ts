/** Asks a guest's Linux, wherever the guest comes from. */
import { PtmonError } from '../../core/error.ts';
import { kernelCache, type LinuxGuest, openLinux } from '../../linux/index.ts';
import { EXIT_OK } from '../exit-codes.ts';
import { interruptible } from '../interruptible.ts';
import type { SourceName } from '../snapshot/open-snapshot.ts';
import type { SourceAndSpaceOptions } from '../snapshot/source-options.ts';
import { type Visit, visitSnapshot, type VisitStreams } from '../snapshot/visit-snapshot.ts';

export interface Answer {
  readonly text: string;
  /** What of the guest was not as it should be. */
  readonly faults: readonly string[];
}

/**
 * Finds the Linux of a snapshot: in the address space that was told or guessed, or else in those that the source itself names.
 *
 * @throws PtmonError as `openLinux`
 */
export function linuxOf(
  { snapshot, space, work }: Visit,
  { root, paging }: SourceAndSpaceOptions,
): Promise<LinuxGuest> {
  const isOwn = root === 'current' && paging === undefined && !space.isGuess;
  return openLinux(snapshot, { cache: kernelCache(), signal: work.signal, ...(!isOwn && { space }) });
}

/** The same, but undefined where there is none. */
export function linuxIfAny(visit: Visit, options: SourceAndSpaceOptions): Promise<LinuxGuest | undefined> {
  return linuxOf(visit, options).catch(noLinux);
}

/** Passes over that there is no Linux that can be known. @throws anything else */
export function noLinux(error: unknown): undefined {
  if (error instanceof PtmonError && (error.code === 'source-unavailable' || error.code === 'corrupt-input')) return;
  throw error;
}

/**
 * What a command does that asks once, until it is done or interrupted.
 *
 * @param exit is told the exit code of a run that did not fail
 * @throws PtmonError as `visitSnapshot`, `linuxOf` and `ask`
 */
export function askLinux(
  source: SourceName,
  options: SourceAndSpaceOptions,
  streams: VisitStreams,
  exit: (code: number) => void,
  ask: (linux: LinuxGuest) => Promise<Answer>,
): Promise<void> {
  return interruptible(streams.output, exit, async (signal) => {
    const said: string[] = [];
    await visitSnapshot(source, options, streams, signal, async (visit) => {
      const linux = await linuxOf(visit, options);
      const { text, faults } = await ask(linux);
      const { base, buildId = 'unknown' } = linux.kernel;
      said.push(`Linux at 0x${base.toString(16)}, build ${buildId}`);
      for (const fault of faults) said.push(`inconsistent: ${fault}`);
      await visit.print(text);
    });
    for (const line of said) await streams.messages.write(`${line}\n`);
    return EXIT_OK;
  });
}
