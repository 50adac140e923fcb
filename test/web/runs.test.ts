import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { lookOf, SWAPPED_LOOK } from '../../src/web/picture/look.ts';
import {
  pageOfFrame,
  countChanges,
  differences,
  frameAt,
  joinRuns,
  type Run,
  RunMap,
  totalsOf,
} from '../../src/web/picture/runs.ts';

const READ_ONLY = lookOf(6, 1);
const WRITABLE = lookOf(7, 1);
const ONE_FRAME = lookOf(6, 1, true);

/** What each page of a map is, one by one. */
function pagesOf(runs: readonly Run[]): Map<number, string> {
  const pages = new Map<number, string>();
  for (const run of runs) {
    for (let at = run[0]; at < run[0] + run[1]; at++) pages.set(at, `${run[2]} ${frameAt(run, at)}`);
  }
  return pages;
}

const runIn = (from: number, to: number) =>
  fc
    .tuple(
      fc.integer({ min: from, max: to - 1 }),
      fc.integer({ min: 1, max: 8 }),
      fc.constantFrom(READ_ONLY, WRITABLE, ONE_FRAME, SWAPPED_LOOK),
      fc.integer({ min: 100, max: 130 }),
    )
    .map(([vpn, pages, look, gfn]): Run => [vpn, Math.min(pages, to - vpn), look, look === SWAPPED_LOOK ? -1 : gfn]);

const change = fc
  .tuple(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 1, max: 20 }))
  .chain(([from, length]) =>
    fc.record({ from: fc.constant(from), to: fc.constant(from + length), run: fc.option(runIn(from, from + length)) }),
  );

describe('RunMap', () => {
  test('is what a map of single pages is, after any changes, and each change can be undone', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 30 }), (changes) => {
        const map = new RunMap();
        const pages = new Map<number, string>();
        const undo: (() => void)[] = [];
        const states = [pagesOf(map.runs)];
        for (const { from, to, run } of changes) {
          const before = map.replace(from, to, run === null ? [] : [run]);
          for (let at = from; at < to; at++) pages.delete(at);
          for (const [at, is] of pagesOf(run === null ? [] : [run])) pages.set(at, is);
          undo.push(() => map.replace(from, to, before));
          states.push(pagesOf(map.runs));
          expect(new Map([...pagesOf(map.runs)].sort())).toEqual(new Map([...pages].sort()));
          expect(map.runs).toEqual(joinRuns(map.runs));
          for (const [at, is] of pages) expect(pagesOf([map.at(at)!]).get(at)).toBe(is);
          expect(pagesOf(map.in(from, to))).toEqual(pagesOf(run === null ? [] : [run]));
        }
        for (const back of undo.reverse()) {
          expect(pagesOf(map.runs)).toEqual(states.pop());
          back();
        }
        expect(map.runs).toEqual([]);
      }),
    );
  });

  test('many changes at once are the same as one after the other', () => {
    fc.assert(
      fc.property(fc.array(change, { maxLength: 12 }), fc.array(change, { maxLength: 12 }), (first, then) => {
        const [one, all] = [new RunMap(), new RunMap()];
        for (const map of [one, all])
          for (const { from, to, run } of first) map.replace(from, to, run === null ? [] : [run]);
        const spans = then
          .map(({ from, to, run }) => ({ from, to, runs: run === null ? [] : [run] }))
          .sort((a, b) => a.from - b.from)
          .filter(({ from }, at, sorted) => at === 0 || sorted.slice(0, at).every((before) => before.to <= from));
        const befores = spans.map(({ from, to, runs }) => one.replace(from, to, runs));
        expect(all.replaceAll(spans)).toEqual(befores);
        expect(all.runs).toEqual(one.runs);
      }),
    );
  });

  test('differences are the pages that are not alike', () => {
    const maps = fc.array(change, { maxLength: 12 }).map((changes) => {
      const map = new RunMap();
      for (const { from, to, run } of changes) map.replace(from, to, run === null ? [] : [run]);
      return map.runs;
    });
    fc.assert(
      fc.property(maps, maps, (before, after) => {
        const [was, is] = [pagesOf(before), pagesOf(after)];
        const expected = [...new Set([...was.keys(), ...is.keys()])].filter((at) => was.get(at) !== is.get(at));
        const found = [...differences(before, after)];
        const pages = found.flatMap(({ vpn, pages }) => Array.from({ length: pages }, (_, at) => vpn + at));
        expect(pages).toEqual(expected.sort((a, b) => a - b));
        for (const { vpn, before: old, after: now } of found) {
          expect(old && pagesOf([old]).get(vpn)).toBe(was.get(vpn));
          expect(now && pagesOf([now]).get(vpn)).toBe(is.get(vpn));
        }
      }),
    );
  });
});

test('counts what came, what went, and copies of read-only pages', () => {
  const before: Run[] = [
    [1, 4, READ_ONLY, 100],
    [10, 2, WRITABLE, 200],
    [20, 1, WRITABLE, 300],
  ];
  const after: Run[] = [
    [1, 3, READ_ONLY, 100],
    [4, 1, WRITABLE, 400],
    [10, 1, WRITABLE, 200],
    [11, 1, SWAPPED_LOOK, -1],
    [20, 1, READ_ONLY, 300],
    [30, 5, READ_ONLY, 500],
  ];
  expect(countChanges(before, after)).toEqual({ pagesIn: 6, pagesOut: 2, copies: 1 });
  expect(countChanges(after, after)).toEqual({ pagesIn: 0, pagesOut: 0, copies: 0 });
});

test('totals count large and swapped pages', () => {
  const runs: Run[] = [
    [0, 512, lookOf(7, 512), 0],
    [600, 3, WRITABLE, 9],
    [700, 4, SWAPPED_LOOK, -1],
  ];
  expect(totalsOf(runs)).toEqual({ mapped: 515, swapped: 4, large: 512 });
});

test('the page of a frame is in its run, or nowhere', () => {
  expect([99, 100, 103, 104].map((gfn) => pageOfFrame([7, 4, lookOf(7, 1), 100], gfn))).toEqual([
    undefined,
    7,
    10,
    undefined,
  ]);
  expect([100, 101].map((gfn) => pageOfFrame([7, 4, lookOf(7, 1, true), 100], gfn))).toEqual([7, undefined]);
  expect(pageOfFrame([7, 4, SWAPPED_LOOK, -1], -1)).toBeUndefined();
});
