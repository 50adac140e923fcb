/** Makes a call of the monitor until it succeeds, for as long as there is hope. The monitor loses nothing in between (C9). */
import { gfnOf } from '../core/address/pa.ts';
import { PtmonError, type PtmonErrorCode } from '../core/error.ts';
import type { RemoteFetch } from '../driver/driver.ts';

/**
 * Rounds in a row that may fetch nothing new. A bounded cache drops some of what it is given and doubles its bound when that is
 * missed (`PageCache`): so often that it could hold any memory.
 */
const MAX_STALE_ROUNDS = 24;

/** Failures that may have passed by the next call. */
const TRANSIENT: ReadonlySet<PtmonErrorCode> = new Set<PtmonErrorCode>(['read-failed', 'protect-failed']);

export interface InsistOptions {
  readonly remote: RemoteFetch | undefined;
  readonly signal: AbortSignal;
  /** How often a call whose source fails is made again. */
  readonly retries: number;
  readonly onRetry: () => void;
}

/**
 * Fetches remote memory that the call misses, and repeats a call whose source failed.
 *
 * @throws what the call throws when neither helps; PtmonError `read-failed` when fetching makes no progress
 */
export async function insist<T>(call: () => T, options: InsistOptions): Promise<T> {
  const fetched = new Set<number>();
  let staleRounds = 0;
  let failures = 0;
  for (;;) {
    try {
      return call();
    } catch (error) {
      if (!(error instanceof PtmonError)) throw error;
      if (error.code === 'not-fetched' && options.remote !== undefined) {
        const missing = error.facts.missing ?? [];
        staleRounds = addFrames(fetched, missing) ? 0 : staleRounds + 1;
        if (staleRounds > MAX_STALE_ROUNDS) throw stillMissing(error);
        await options.remote.fetch(missing, options.signal);
      } else if (TRANSIENT.has(error.code) && failures < options.retries) {
        failures++;
        options.onRetry();
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
