import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { PtmonError } from '../../../src/core/error.ts';
import { PageCache } from '../../../src/core/memory/page-cache.ts';
import { READ_NO_MEMORY, READ_NOT_FETCHED, READ_OK } from '../../../src/core/memory/physical-memory.ts';

/** A page in which each byte says where it is. */
const pageOf = (seed: number): Uint8Array =>
  Uint8Array.from({ length: 4096 }, (_, index) => (index * 7 + (index >> 8) + seed) & 0xff);

const at = (page: Uint8Array, offset: number): number =>
  new DataView(page.buffer, page.byteOffset).getUint32(offset, true);

/** What a read answers, with what it left in `out`. */
function read(cache: PageCache, pa: number, byteLength: 4 | 8 = 8) {
  const out = new Uint32Array([0x1111, 0x2222]);
  const outcome = cache.readEntry(pa, byteLength, out);
  return { outcome, out: [...out] };
}

const here = (cache: PageCache, gfn: number): boolean => read(cache, gfn * 4096).outcome !== READ_NOT_FETCHED;

describe('PageCache: reads', () => {
  test('what was not put is not fetched, and out is untouched', () => {
    const cache = new PageCache();
    expect(read(cache, 0)).toEqual({ outcome: READ_NOT_FETCHED, out: [0x1111, 0x2222] });
    cache.put(1, pageOf(0));
    expect(read(cache, 0)).toEqual({ outcome: READ_NOT_FETCHED, out: [0x1111, 0x2222] });
    expect(read(cache, 0x2000)).toEqual({ outcome: READ_NOT_FETCHED, out: [0x1111, 0x2222] });
    expect(read(cache, 0x1000).outcome).toBe(READ_OK);
  });

  test('null is no memory, and out is untouched', () => {
    const cache = new PageCache();
    cache.put(5, null);
    expect(read(cache, 0x5008)).toEqual({ outcome: READ_NO_MEMORY, out: [0x1111, 0x2222] });
    expect(read(cache, 0x5ff8)).toEqual({ outcome: READ_NO_MEMORY, out: [0x1111, 0x2222] });
    expect(cache.pageCount).toBe(1);
  });

  test.each([0, 8, 0x7f8, 0xff8])('an entry of 8 bytes at byte %i, low word first', (offset) => {
    const cache = new PageCache();
    const page = pageOf(3);
    cache.put(0xf_ffff_ffff, page);
    expect(read(cache, 0xf_ffff_ffff * 4096 + offset)).toEqual({
      outcome: READ_OK,
      out: [at(page, offset), at(page, offset + 4)],
    });
  });

  test.each([0, 4, 0x7fc, 0xffc])('an entry of 4 bytes at byte %i: the high word is 0', (offset) => {
    const cache = new PageCache();
    const page = pageOf(4);
    cache.put(2, page);
    expect(read(cache, 0x2000 + offset, 4)).toEqual({ outcome: READ_OK, out: [at(page, offset), 0] });
  });

  test('the bytes are copied, from any alignment and from a pooled Buffer', () => {
    const cache = new PageCache();
    const raw = new Uint8Array(4096 + 3);
    raw.set(pageOf(9), 3);
    const odd = raw.subarray(3);
    cache.put(1, odd);
    const pooled = Buffer.from(Buffer.concat([pageOf(9)]));
    cache.put(2, pooled);
    raw.fill(0);
    pooled.fill(0);
    expect(read(cache, 0x1ff8).out).toEqual([at(pageOf(9), 0xff8), at(pageOf(9), 0xffc)]);
    expect(read(cache, 0x2000).out).toEqual([at(pageOf(9), 0), at(pageOf(9), 4)]);
  });

  test('a page put again is the new page at once, also where it was read last', () => {
    const cache = new PageCache({ maxPages: 4 });
    cache.put(1, pageOf(1));
    expect(read(cache, 0x1000).out[0]).toBe(at(pageOf(1), 0));
    cache.put(1, pageOf(2));
    expect(read(cache, 0x1000).out[0]).toBe(at(pageOf(2), 0));
    cache.put(1, null);
    expect(read(cache, 0x1000).outcome).toBe(READ_NO_MEMORY);
    cache.put(1, pageOf(3));
    expect(read(cache, 0x1000).out[0]).toBe(at(pageOf(3), 0));
    expect(cache.pageCount).toBe(1);
  });
});

describe('PageCache: refusals', () => {
  test.each([0, 8, 4095, 4097, 8192])('a page of %i bytes', (byteLength) => {
    const cache = new PageCache();
    const attempt = () => cache.put(0xab, new Uint8Array(byteLength));
    expect(attempt).toThrow(PtmonError);
    expect(attempt).toThrow(`frame 0xab got ${byteLength} bytes, not 4096`);
    expect(attempt).toThrow(expect.objectContaining({ code: 'bad-argument', facts: { gfn: 0xab } }));
    expect(cache.pageCount).toBe(0);
  });

  test.each([0, -4, 2.5, Number.NaN, Number.POSITIVE_INFINITY])('a bound of %d pages', (maxPages) => {
    const attempt = () => new PageCache({ maxPages });
    expect(attempt).toThrow(PtmonError);
    expect(attempt).toThrow(`maxPages ${maxPages} is not a positive integer`);
    expect(attempt).toThrow(expect.objectContaining({ code: 'bad-argument' }));
  });

  test('1 is the least, 4096 what is not told', () => {
    expect(new PageCache({ maxPages: 1 }).limit).toBe(1);
    expect(new PageCache().limit).toBe(4096);
  });
});

describe('PageCache: the bound', () => {
  test.each([1, 2, 3, 7, 64])('%i pages are never exceeded by pages that nobody comes back to', (maxPages) => {
    const cache = new PageCache({ maxPages });
    const page = pageOf(1);
    for (let gfn = 0; gfn < 500; gfn++) {
      expect(here(cache, gfn)).toBe(false);
      cache.put(gfn, gfn % 3 === 0 ? null : page);
      expect(here(cache, gfn)).toBe(true);
      expect(cache.pageCount).toBeLessThanOrEqual(maxPages);
    }
    expect(cache.limit).toBe(maxPages);
    expect(cache.pageCount).toBe(maxPages);
  });

  test('what was used least recently goes first', () => {
    const cache = new PageCache({ maxPages: 3 });
    for (const gfn of [1, 2, 3]) cache.put(gfn, null);
    expect(here(cache, 1)).toBe(true);
    cache.put(2, null);
    cache.put(4, null);
    // 3 was not used since it was put; 1 was read and 2 was put again.
    expect([1, 2, 4].map((gfn) => here(cache, gfn))).toEqual([true, true, true]);
    expect(cache.limit).toBe(3);
    expect(here(cache, 3)).toBe(false);
    expect(cache.limit).toBe(6);
  });

  test('the pages used last are here, as many as the bound, whatever was done', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 8 }),
        fc.array(fc.tuple(fc.integer({ min: 0, max: 12 }), fc.boolean()), { maxLength: 60 }),
        (maxPages, uses) => {
          const cache = new PageCache({ maxPages });
          let recent: number[] = [];
          for (const [gfn, isRead] of uses) {
            const expected = recent.includes(gfn);
            if (isRead) expect(here(cache, gfn)).toBe(expected);
            else cache.put(gfn, null);
            if (cache.limit > maxPages) {
              cache.clear();
              recent = [];
            } else if (!isRead || expected) {
              recent = [gfn, ...recent.filter((other) => other !== gfn)].slice(0, maxPages);
            }
            expect(cache.pageCount).toBe(recent.length);
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('PageCache: rounds that need more than the bound', () => {
  /** Runs a round as the session does: read everything, fetch what is missing, again. Answers how often. */
  function runsOf(cache: PageCache, needs: readonly number[], patience = 200): number {
    for (let run = 1; run <= patience; run++) {
      const missing = needs.filter((gfn) => !here(cache, gfn));
      if (missing.length === 0) return run;
      for (const gfn of missing) cache.put(gfn, null);
    }
    return Number.POSITIVE_INFINITY;
  }

  const frames = (count: number): number[] => Array.from({ length: count }, (_, index) => index * 3 + 7);

  test.each([
    { maxPages: 1, needs: 2 },
    { maxPages: 2, needs: 3 },
    { maxPages: 2, needs: 1000 },
    { maxPages: 16, needs: 17 },
    { maxPages: 16, needs: 500 },
    { maxPages: 100, needs: 5000 },
  ])('end: $needs pages through a cache of $maxPages', ({ maxPages, needs }) => {
    const cache = new PageCache({ maxPages });
    const runs = runsOf(cache, frames(needs));
    expect(runs).toBeLessThanOrEqual(Math.ceil(Math.log2(needs / maxPages)) + 4);
    expect(cache.pageCount).toBe(needs);
    expect(cache.limit).toBeLessThan(2 * needs);
  });

  test('end where each run finds only the next page that it needs', () => {
    for (const [maxPages, needs] of [
      [2, 40],
      [8, 60],
    ] as const) {
      const cache = new PageCache({ maxPages });
      let runs = 0;
      for (; runs < 1000; runs++) {
        const next = frames(needs).find((gfn) => !here(cache, gfn));
        if (next === undefined) break;
        cache.put(next, null);
      }
      expect(runs).toBeLessThan(4 * needs);
      expect(cache.limit).toBeLessThan(2 * needs);
    }
  });

  test('many pages short at once are one shortage', () => {
    const cache = new PageCache({ maxPages: 16 });
    for (let gfn = 0; gfn < 1000; gfn++) cache.put(gfn, null);
    for (let gfn = 0; gfn < 900; gfn++) expect(here(cache, gfn)).toBe(false);
    expect(cache.limit).toBe(32);
  });

  test('a page that was dropped and put again without being asked for is no shortage', () => {
    const cache = new PageCache({ maxPages: 2 });
    for (const gfn of [1, 2, 3, 1]) cache.put(gfn, null);
    expect(here(cache, 1)).toBe(true);
    expect(cache.limit).toBe(2);
  });

  test('the bound is as it was once the guest has run on', () => {
    const cache = new PageCache({ maxPages: 4 });
    expect(runsOf(cache, frames(50))).toBeLessThan(10);
    expect(cache.limit).toBeGreaterThan(4);
    cache.clear();
    expect(cache.limit).toBe(4);
    expect(cache.pageCount).toBe(0);
    for (const gfn of frames(50)) expect(here(cache, gfn)).toBe(false);
    expect(cache.limit).toBe(4);
  });

  test('clear forgets the page read last, the old ones and the young ones', () => {
    const cache = new PageCache({ maxPages: 4 });
    for (const gfn of [1, 2, 3]) cache.put(gfn, pageOf(gfn));
    expect(here(cache, 3)).toBe(true);
    cache.clear();
    expect([3, 2, 1].map((gfn) => here(cache, gfn))).toEqual([false, false, false]);
    cache.put(3, null);
    expect(read(cache, 0x3000).outcome).toBe(READ_NO_MEMORY);
  });
});
