/** Runs the work of a command until it is done, a signal arrives, or the reader of the output closes it. */
import type { CommandContext } from '../context.ts';
import { EXIT_OK } from './exit-codes.ts';
import { catchInterrupts } from './interrupt.ts';

/**
 * @param work returns the exit code of a run that nothing interrupted
 * @throws what `work` throws, except the reason of the signal that it was given
 */
export async function interruptible(
  { output, exit }: Pick<CommandContext, 'output' | 'exit'>,
  work: (signal: AbortSignal) => Promise<number>,
): Promise<void> {
  const interrupt = catchInterrupts();
  const signal = AbortSignal.any([interrupt.signal, output.closed]);
  try {
    const code = await work(signal);
    exit(interrupt.exitCode ?? code);
  } catch (error) {
    // An interrupt, or a closed output, is not a failure of the work that it ended.
    if (!signal.aborted || error !== signal.reason) throw error;
    exit(interrupt.exitCode ?? EXIT_OK);
  } finally {
    interrupt.release();
  }
}
