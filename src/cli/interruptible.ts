/** Runs what a command does until it is done, a signal comes, or nobody reads the output any more. */
import type { TextOutput } from '../sinks/text-output.ts';
import { EXIT_OK } from './exit-codes.ts';
import { catchInterrupts } from './interrupt.ts';

/**
 * @param work answers the exit code of a run that nothing interrupted
 * @param exit is told the exit code of a run that did not fail
 * @throws what `work` throws, but for the reason of the signal that it was given
 */
export async function interruptible(
  output: TextOutput,
  exit: (code: number) => void,
  work: (signal: AbortSignal) => Promise<number>,
): Promise<void> {
  const interrupt = catchInterrupts();
  const signal = AbortSignal.any([interrupt.signal, output.closed]);
  try {
    const code = await work(signal);
    exit(interrupt.exitCode ?? code);
  } catch (error) {
    // An interrupt, or a reader that has gone, is no failure of what it ended.
    if (!signal.aborted || error !== signal.reason) throw error;
    exit(interrupt.exitCode ?? EXIT_OK);
  } finally {
    interrupt.release();
  }
}
