/** Ctrl-C and similar signals: the first one aborts the work, the second one ends the process at once. */
import { EXIT_HUNG_UP, EXIT_INTERRUPTED, EXIT_QUIT, EXIT_TERMINATED } from './exit-codes.ts';

const CODES = { SIGINT: EXIT_INTERRUPTED, SIGTERM: EXIT_TERMINATED, SIGHUP: EXIT_HUNG_UP, SIGQUIT: EXIT_QUIT } as const;
type Interruption = keyof typeof CODES;

export interface Interrupt {
  /** Aborted by the first signal. */
  readonly signal: AbortSignal;
  /** The exit code of the signal; undefined before one arrives. */
  readonly exitCode: number | undefined;
  /** Stops catching signals. */
  release(): void;
}

export function catchInterrupts(): Interrupt {
  const controller = new AbortController();
  let exitCode: number | undefined;
  const release = () => {
    for (const name of Object.keys(CODES)) process.off(name, caught);
  };
  const caught = (name: Interruption) => {
    // Unlike the default action of the signal, exit() runs the handlers that resume a stopped guest.
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
