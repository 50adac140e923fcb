/** Does what reads memory, and fetches what of it is not here. */
import { PtmonError } from '../core/error.ts';
import type { RemoteFetch } from './driver.ts';

/** A memory that never has what is asked for must not be asked for ever. */
const MAX_ROUNDS = 10_000;

/**
 * Calls again after each fetch, until nothing is missing.
 *
 * @throws what `call` throws and fetching cannot help; what `remote` throws; the reason of `signal` when it is aborted
 */
export async function fetching<T>(
  remote: RemoteFetch | undefined,
  call: () => T | Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  for (let round = 0; ; round++) {
    signal?.throwIfAborted();
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof PtmonError) || error.code !== 'not-fetched') throw error;
      if (remote === undefined || round === MAX_ROUNDS) throw error;
      await remote.fetch(error.facts.missing ?? [], signal);
    }
  }
}
