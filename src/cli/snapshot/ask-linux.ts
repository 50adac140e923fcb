/** Asks the Linux of a guest that a snapshot shows. */
import type { LinuxGuest } from '../../linux/index.ts';
import type { CommandContext } from '../context.ts';
import type { SourceAndSpaceOptions, SourceName } from '../options/source.ts';
import { EXIT_INCOMPLETE, EXIT_OK } from '../exit/exit-codes.ts';
import { interruptible } from '../exit/interruptible.ts';
import { printStatus } from '../output/status-lines.ts';
import { visitSnapshot } from './visit-snapshot.ts';

export interface Answer {
  readonly text: string;
  /** What was inconsistent in the guest. */
  readonly faults: readonly string[];
}

/**
 * The work of a command that asks once.
 *
 * @throws PtmonError as `visitSnapshot`, `openLinux` and `ask`
 */
export function askLinux(
  source: SourceName,
  options: SourceAndSpaceOptions,
  context: CommandContext,
  ask: (linux: LinuxGuest) => Promise<Answer>,
): Promise<void> {
  return interruptible(context, async (signal) => {
    const notes: string[] = [];
    let isIncomplete = false;
    await visitSnapshot({ source, options, streams: context, signal }, async (visit) => {
      const linux = await visit.linux.guest();
      const { text, faults } = await ask(linux);
      const { base, buildId = 'unknown' } = linux.kernel;
      notes.push(`Linux at 0x${base.toString(16)}, build ${buildId}`);
      isIncomplete = faults.length > 0;
      for (const fault of faults) notes.push(`inconsistent: ${fault}`);
      await visit.print(text);
    });
    for (const line of notes) await printStatus(context.messages, line);
    return isIncomplete ? EXIT_INCOMPLETE : EXIT_OK;
  });
}
