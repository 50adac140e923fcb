/** Asks the Linux of a guest that a snapshot shows. */
import { PtmonError } from '../../core/error.ts';
import { kernelCache, type LinuxGuest, openLinux } from '../../linux/index.ts';
import type { CommandContext } from '../context.ts';
import type { SourceAndSpaceOptions, SourceName } from '../options/source.ts';
import { EXIT_OK } from '../process/exit-codes.ts';
import { interruptible } from '../process/interruptible.ts';
import { type Visit, visitSnapshot } from './visit-snapshot.ts';

export interface Answer {
  readonly text: string;
  /** What was inconsistent in the guest. */
  readonly faults: readonly string[];
}

/**
 * Finds the Linux of a snapshot: in the address space that the options name or a search found, else in those that the source names.
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

/** Ignores the errors that say that no Linux is known. @throws any other error */
export function noLinux(error: unknown): undefined {
  if (error instanceof PtmonError && (error.code === 'source-unavailable' || error.code === 'corrupt-input')) return;
  throw error;
}

/**
 * The work of a command that asks once.
 *
 * @throws PtmonError as `visitSnapshot`, `linuxOf` and `ask`
 */
export function askLinux(
  source: SourceName,
  options: SourceAndSpaceOptions,
  context: CommandContext,
  ask: (linux: LinuxGuest) => Promise<Answer>,
): Promise<void> {
  return interruptible(context, async (signal) => {
    const notes: string[] = [];
    await visitSnapshot({ source, options, streams: context, signal }, async (visit) => {
      const linux = await linuxOf(visit, options);
      const { text, faults } = await ask(linux);
      const { base, buildId = 'unknown' } = linux.kernel;
      notes.push(`Linux at 0x${base.toString(16)}, build ${buildId}`);
      for (const fault of faults) notes.push(`inconsistent: ${fault}`);
      await visit.print(text);
    });
    for (const line of notes) await context.messages.write(`${line}\n`);
    return EXIT_OK;
  });
}
