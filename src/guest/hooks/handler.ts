/** Calls what a script wants to have called while the guest is stopped: not for ever, and without ending the session where it fails. */
import process from 'node:process';
import { PtmonError } from '../../core/error.ts';
import { unlessAborted } from '../session/unless-aborted.ts';

export interface HandlerOptions {
  /** How long the guest waits for the handler, in milliseconds; defaults to 10,000. */
  readonly timeoutMs?: number;
  /** Called with what the handler throws, and where it takes too long; by default a warning of the process. The guest goes on. */
  readonly onError?: (error: unknown) => void;
}

/** `checkHandler` looks at their values. */
export const HANDLER_OPTIONS = { timeoutMs: 'any', onError: 'any' } as const satisfies Record<
  keyof HandlerOptions,
  'any'
>;

const DEFAULT_TIMEOUT_MS = 10_000;
/** Node's timers go no further. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/** @throws PtmonError `bad-argument` for what cannot be called: at once, and not only when it is to be called */
export function checkHandler(handler: unknown, { timeoutMs, onError }: HandlerOptions = {}): void {
  if (typeof handler !== 'function')
    throw new PtmonError('bad-argument', `the handler ${String(handler)} is not a function`);
  if (onError !== undefined && typeof onError !== 'function')
    throw new PtmonError('bad-argument', `onError ${String(onError)} is not a function`);
  if (timeoutMs === undefined || (typeof timeoutMs === 'number' && timeoutMs > 0 && timeoutMs <= MAX_TIMEOUT_MS))
    return;
  throw new PtmonError('bad-argument', `timeoutMs ${String(timeoutMs)}: give milliseconds from 1 to ${MAX_TIMEOUT_MS}`);
}

/** While a handler is at work, its moment is that of the guest. A handler that is too late must not read or write at another one. */
export class Handling {
  readonly #controller = new AbortController();
  readonly over: AbortSignal = this.#controller.signal;

  end(): void {
    this.#controller.abort(
      new PtmonError('closed', 'too late: the handler has ended, or its time is up, and the guest runs on'),
    );
  }
}

/** @param what names the handler in the error @throws what `handler` throws; PtmonError `closed` where it takes longer */
export async function withinTimeLimit<T>(
  what: string,
  handler: () => Promise<T> | T,
  timeoutMs = DEFAULT_TIMEOUT_MS,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new PtmonError('closed', `${what} did not finish within ${timeoutMs} ms: the guest goes on`));
    }, timeoutMs);
  });
  try {
    return await Promise.race([Promise.resolve().then(handler), late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Never throws. Calls nothing once the guest is released.
 *
 * @param what names the handler in an error
 * @param options `released` is aborted when the guest is released: that may be what the handler waits for
 */
export async function callHandler(
  what: string,
  handler: () => Promise<void> | void,
  { timeoutMs, onError = warn, released }: HandlerOptions & { readonly released: AbortSignal },
): Promise<void> {
  if (released.aborted) return;
  try {
    await unlessAborted(released, withinTimeLimit(what, handler, timeoutMs));
  } catch (error) {
    if (!released.aborted || error !== released.reason) void report(error, onError);
  }
}

/** What `onError` itself throws, at once or later, must not end the session either. */
async function report(error: unknown, onError: (error: unknown) => unknown): Promise<void> {
  try {
    await onError(error);
  } catch (second) {
    warn(second);
  }
}

function warn(error: unknown): void {
  process.emitWarning(error instanceof Error ? error : String(error));
}
