import { describe, expect, test } from 'vitest';
import { PAGE_BYTES } from '../../src/core/address/pa.ts';
import { PtmonError } from '../../src/core/error.ts';
import { PageCache } from '../../src/core/memory/page-cache.ts';
import { READ_NOT_FETCHED } from '../../src/core/memory/physical-memory.ts';
import { retry, type RetryOptions } from '../../src/driver/retry.ts';

function options(fetch?: (addresses: readonly number[]) => void): RetryOptions {
  const remote = fetch && { fetch: async (addresses: readonly number[]) => fetch(addresses) };
  return { remote, signal: new AbortController().signal, retries: 2, onRetry: () => {} };
}

function notFetched(missing: readonly number[]): PtmonError {
  return new PtmonError('not-fetched', 'not here', { missing });
}

describe('fetching goes on while it helps', () => {
  test('one table a round, for as many rounds as there are tables', async () => {
    const here = new Set<number>();
    const answer = await retry(
      () => {
        if (here.size < 3000) throw notFetched([here.size * PAGE_BYTES]);
        return 'done';
      },
      options(([pa]) => here.add(pa!)),
    );
    expect([answer, here.size]).toEqual(['done', 3000]);
  });

  test('a cache that is too small grows until it can hold what one call needs', async () => {
    const cache = new PageCache({ maxPages: 2 });
    const out = new Uint32Array(2);
    const call = () => {
      const missing: number[] = [];
      for (let pa = 0; pa < 1000 * PAGE_BYTES; pa += PAGE_BYTES) {
        if (cache.readEntry(pa, 8, out) === READ_NOT_FETCHED) missing.push(pa);
      }
      if (missing.length > 0) throw notFetched(missing);
      return 'done';
    };
    const fetch = (addresses: readonly number[]) => {
      for (const pa of addresses) cache.put(pa / PAGE_BYTES, new Uint8Array(PAGE_BYTES));
    };
    expect(await retry(call, options(fetch))).toBe('done');
  });

  test.each([
    ['the same frame', (round: number) => [0x1000 + (round % 512) * 8]],
    ['nothing at all', () => []],
    ['two frames in turn', (round: number) => [0x1000 * (1 + (round % 2))]],
  ])('a source that never delivers %s is a failed read', async (_, missing) => {
    let fetches = 0;
    const call = () => {
      throw notFetched(missing(fetches));
    };
    const retrying = retry(
      call,
      options(() => fetches++),
    );
    await expect(retrying).rejects.toMatchObject({ code: 'read-failed', cause: { code: 'not-fetched' } });
    expect(fetches).toBeLessThan(32);
  });

  test('a fetch that fails is thrown as it is', async () => {
    const failure = new PtmonError('source-unavailable', 'gone');
    const fetch = () => {
      throw failure;
    };
    await expect(
      retry(() => {
        throw notFetched([0]);
      }, options(fetch)),
    ).rejects.toBe(failure);
  });
});

describe('a call whose source fails is made again', () => {
  test.each([
    ['read-failed', 3],
    ['protect-failed', 3],
    ['source-unavailable', 1],
    ['bad-argument', 1],
    ['no-such-view', 1],
  ] as const)('%s: %i calls', async (code, expected) => {
    let calls = 0;
    const call = () => {
      calls++;
      throw new PtmonError(code, 'it fails');
    };
    await expect(retry(call, options())).rejects.toMatchObject({ code });
    expect(calls).toBe(expected);
  });
});
