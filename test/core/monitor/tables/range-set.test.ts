/** The set of ranges beside a record for each page, under random calls, with enough segments for many chunks. */
import { describe, expect, test } from 'vitest';
import { RangeSet } from '../../../../src/core/monitor/tables/range-set.ts';
import type { Tag } from '../../../../src/core/struct/references.ts';
import { Random } from '../../../../src/testing/random.ts';

interface Page {
  count: number;
  runs: boolean;
  /** In the order in which they were given. */
  readonly tags: Map<Tag, number>;
}

class NaiveSet {
  pages = new Map<number, Page>();

  add(first: number, last: number, tag: Tag | undefined, runs: boolean): void {
    for (let page = first; page <= last; page++) {
      const its = this.pages.get(page) ?? { count: 0, runs: true, tags: new Map<Tag, number>() };
      its.count++;
      its.runs &&= runs;
      if (tag !== undefined) its.tags.set(tag, (its.tags.get(tag) ?? 0) + 1);
      this.pages.set(page, its);
    }
  }

  release(first: number, last: number, tag: Tag | undefined): boolean {
    let isHit = false;
    for (let page = first; page <= last; page++) {
      const its = this.pages.get(page);
      if (its === undefined || (tag !== undefined && !its.tags.has(tag))) continue;
      isHit = true;
      its.count--;
      if (tag !== undefined) its.tags.set(tag, its.tags.get(tag)! - 1);
      if (tag !== undefined && its.tags.get(tag) === 0) its.tags.delete(tag);
      if (its.count === 0) this.pages.delete(page);
    }
    return isHit;
  }

  clear(first: number, last: number): void {
    for (let page = first; page <= last; page++) this.pages.delete(page);
  }

  /** Each page with its references, as text. */
  all(): string[] {
    return [...this.pages]
      .sort(([a], [b]) => a - b)
      .map(([page, { count, runs, tags }]) => `${page}: ${count} ${runs} ${[...tags.keys()].join()}`);
  }
}

function allOf(set: RangeSet): string[] {
  return set.segments.flatMap(({ first, last, runs, count, tags }) =>
    Array.from(
      { length: last - first + 1 },
      (_, at) => `${first + at}: ${count} ${runs} ${tags.map(({ tag }) => tag).join()}`,
    ),
  );
}

const PAGES = 3000;
const BORDER = 1700;

function compare(seed: number, tags: readonly (Tag | undefined)[], calls: number): void {
  const random = new Random(seed);
  const [set, naive] = [new RangeSet(BORDER), new NaiveSet()];
  const span = (): [number, number] => {
    const first = random.below(PAGES);
    const pages = [1, 2, 10, 300, PAGES][random.below(5)]!;
    return [first, Math.min(PAGES, first + random.below(pages))];
  };
  // Many segments to begin with.
  for (let page = 0; page < PAGES; page += 2) {
    set.add(page, page, undefined, true);
    set.join(page, page);
    naive.add(page, page, undefined, true);
  }
  for (let call = 0; call < calls; call++) {
    const [first, last] = span();
    const tag = tags[random.below(tags.length)];
    const runs = random.below(4) > 0;
    switch (random.below(7)) {
      case 0:
      case 1:
      case 2:
        set.add(first, last, tag, runs);
        set.join(first, last);
        naive.add(first, last, tag, runs);
        break;
      case 3: {
        const before = set.segments.map(({ first: from, last: to }) => [from, to]);
        set.undo(set.add(first, last, tag, runs));
        expect(set.segments.map(({ first: from, last: to }) => [from, to])).toEqual(before);
        break;
      }
      case 4:
      case 5:
        expect(set.release(first, last, tag)).toBe(naive.release(first, last, tag));
        break;
      default:
        if (last - first > 20) break;
        set.clear(first, last);
        naive.clear(first, last);
    }
    const page = random.below(PAGES);
    expect(set.overlaps(page, page)).toBe(naive.pages.has(page));
    if (call % 3 === 0) expect(set.find(page)?.count).toBe(naive.pages.get(page)?.count);
    if (call % 10 !== 0) continue;
    expect(allOf(set)).toEqual(naive.all());
    expect(set.isEmpty).toBe(naive.pages.size === 0);
  }
  set.release(0, PAGES, undefined);
  naive.release(0, PAGES, undefined);
  expect(allOf(set)).toEqual(naive.all());
  set.clear(0, PAGES);
  expect(set.isEmpty).toBe(true);
}

describe('R2 random calls', () => {
  test.each([1, 2, 3])('without tags, seed %i', (seed) => compare(seed, [undefined], 400));
  test.each([4, 5, 6])('with a few tags, seed %i', (seed) => compare(seed, [undefined, 'a', 'b', 1], 400));
  test.each([7, 8])('with many tags, seed %i', (seed) => {
    compare(seed, [undefined, ...Array.from({ length: 40 }, (_, tag) => tag)], 400);
  });
});

test('neighbours with equal references are one segment, but not across the hole', () => {
  const set = new RangeSet(BORDER);
  for (let page = BORDER - 400; page < BORDER + 400; page++) {
    set.add(page, page, 'a', true);
    set.join(page, page);
  }
  expect(set.segments.map(({ first, last }) => [first, last])).toEqual([
    [BORDER - 400, BORDER - 1],
    [BORDER, BORDER + 399],
  ]);
  for (let page = BORDER - 400; page < BORDER + 400; page += 2) {
    set.add(page, page, 'b', true);
    set.join(page, page);
  }
  expect(set.segments).toHaveLength(800);
  expect(set.release(0, 2 * BORDER, 'b')).toBe(true);
  expect(set.segments).toHaveLength(2);
});

/** A set, and a function that adds a range to it. */
function emptySet() {
  const set = new RangeSet(2 ** 30);
  const add = (first: number, last: number, tag?: Tag) => {
    set.add(first, last, tag, true);
    set.join(first, last);
  };
  const tagsAt = (page: number) => set.find(page)?.tags.map(({ tag }) => tag);
  return { set, add, tagsAt };
}

test('a tag each of many ranges, one inside the other', () => {
  const N = 1500;
  const { set, add, tagsAt } = emptySet();
  for (let tag = 0; tag < N; tag++) add(tag, 2 * N - tag, tag);
  for (let page = 0; page <= 2 * N; page += 7) {
    const depth = Math.min(page + 1, 2 * N - page + 1, N);
    expect(tagsAt(page)).toEqual(Array.from({ length: depth }, (_, tag) => tag));
  }
  for (let tag = 0; tag < N; tag += 2) expect(set.release(0, 2 * N, tag)).toBe(true);
  expect(tagsAt(7)).toEqual([1, 3, 5, 7]);
});

describe('tags come in the order in which a page got them', () => {
  test('neighbours that got them in another order are two segments', () => {
    const { set, add, tagsAt } = emptySet();
    add(0, 0, 'a');
    add(1, 1, 'b');
    add(0, 0, 'b');
    add(1, 1, 'a');
    expect([tagsAt(0), tagsAt(1)]).toEqual([
      ['a', 'b'],
      ['b', 'a'],
    ]);
    expect(set.segments).toHaveLength(2);
  });

  test('a segment that joins the one before it leaves the next as it was', () => {
    const { set, add, tagsAt } = emptySet();
    add(0, 0, 'a');
    add(2, 2, 'b');
    add(1, 2, 'a');
    expect(set.segments.map(({ first, last }) => [first, last])).toEqual([
      [0, 1],
      [2, 2],
    ]);
    expect(tagsAt(2)).toEqual(['b', 'a']);
  });

  test('a list that was asked for is made anew after a change', () => {
    const { set, add, tagsAt } = emptySet();
    add(0, 5000, 'a');
    // So many segments that they are cut in two, and then so few that they are put together again.
    for (let page = 0; page < 600; page += 2) {
      add(page, page);
      if (page === 500) expect(tagsAt(401)).toEqual(['a']);
    }
    add(401, 401, 'b');
    for (let page = 0; page < 600; page += 2) set.release(page, page, undefined);
    expect(tagsAt(401)).toEqual(['a', 'b']);
    expect(tagsAt(400)).toEqual(['a']);
    expect(set.segments).toHaveLength(3);
  });
});
