/** Makes a call that reads memory until it succeeds: fetches what is not here, and repeats what failed in a transient way. */
import { gfnOf } from '../core/address/pa.ts';
import { PtmonError, type PtmonErrorCode } from '../core/error.ts';
import type { RemoteFetch } from './driver.ts';

/**
 * Rounds in a row that may fetch nothing new. A bounded cache drops some of what it is given and doubles its bound when that is
 * missed (`PageCache`): so often that it could hold any memory.
 */
const MAX_STALE_ROUNDS = 24;

/** Failures that may be over by the next call. */
const TRANSIENT: ReadonlySet<PtmonErrorCode> = new Set<PtmonErrorCode>(['read-failed', 'protect-failed']);

export interface RetryOptions {
  /** Absent where all memory is here. */
  readonly remote?: RemoteFetch | undefined;
  /** Looked at before each call, and handed to `remote`. */
  readonly signal?: AbortSignal | undefined;
  /** How often a call whose source fails is made again; defaults to 0. */
  readonly retries?: number;
  readonly onRetry?: () => void;
}

/**
 * @param call may be made any number of times, and has changed nothing where it throws
 * @throws what the call throws where neither helps; PtmonError `read-failed` when fetching makes no progress; what `remote` throws;
 *   the reason of `signal` when it is aborted
 */
export async function retry<T>(call: () => T | Promise<T>, options: RetryOptions): Promise<T> {
  const { remote, signal, retries = 0, onRetry } = options;
  const fetched = new Set<number>();
  let staleRounds = 0;
  let failures = 0;
  for (;;) {
    signal?.throwIfAborted();
    try {
      const result = call();
      return result instanceof Promise ? await result : result;
    } catch (error) {
      if (!(error instanceof PtmonError)) throw error;
      if (error.code === 'not-fetched' && remote !== undefined) {
        const missing = error.facts.missing ?? [];
        staleRounds = addFrames(fetched, missing) ? 0 : staleRounds + 1;
        if (staleRounds > MAX_STALE_ROUNDS) throw stillMissing(error);
        await remote.fetch(missing, signal);
      } else if (TRANSIENT.has(error.code) && failures < retries) {
        failures++;
        onRetry?.();
      } else {
        throw error;
      }
    }
  }
}

/** Whether any of the addresses lies in a frame that is not in `frames` yet. */
function addFrames(frames: Set<number>, addresses: readonly number[]): boolean {
  const before = frames.size;
  for (const pa of addresses) frames.add(gfnOf(pa));
  return frames.size > before;
}

function stillMissing(cause: PtmonError): PtmonError {
  return new PtmonError('read-failed', `memory cannot be read although it was fetched: ${cause.message}`, cause.facts, {
    cause,
  });
}
