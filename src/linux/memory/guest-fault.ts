/**
 * What the guest's memory does not hold: an address that leads nowhere, a list without an end. Thrown inside this part only, and
 * caught where something can still be said without it: guest data is never an error of the caller's.
 */
export class GuestFault extends Error {
  override readonly name = 'GuestFault';

  /** Without a stack trace, which nobody sees: taking one of each took most of the time where many words are tried as pointers. */
  constructor(message: string) {
    const { stackTraceLimit } = Error;
    Error.stackTraceLimit = 0;
    super(message);
    Error.stackTraceLimit = stackTraceLimit;
  }
}

/** What `read` returns; undefined where the guest's memory is inconsistent, and then `faults` learns why. */
export function attempt<T>(read: () => T, faults?: (why: string) => void): T | undefined {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof GuestFault)) throw error;
    faults?.(error.message);
    return undefined;
  }
}
