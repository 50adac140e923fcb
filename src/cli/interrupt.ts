/** Ctrl-C and its like: the first one asks, the second one ends the process at once. */
import { EXIT_HUNG_UP, EXIT_INTERRUPTED, EXIT_QUIT, EXIT_TERMINATED } from './exit-codes.ts';

const CODES = { SIGINT: EXIT_INTERRUPTED, SIGTERM: EXIT_TERMINATED, SIGHUP: EXIT_HUNG_UP, SIGQUIT: EXIT_QUIT } as const;
type Interruption = keyof typeof CODES;

export interface Interrupt {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** What to answer to the shell; undefined while there was no signal. */
  readonly exitCode: number | undefined;
  /** Gives the signals back. */
  release(): void;
}

export function catchInterrupts(): Interrupt {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const release = () => {
    for (const name of Object.keys(CODES)) process.off(name, caught);
  };
  const caught = (name: Interruption) => {
    // Not the signal's own way to end a process, in which nobody could let a guest go that stands still.
    if (exitCode !== undefined) process.exit(CODES[name]);
    exitCode = CODES[name];
    controller.abort();
  };
  for (const name of Object.keys(CODES)) process.on(name, caught);
  return {
    signal: controller.signal,
    get exitCode() {
      return exitCode;
    },
    release,
  };
}
