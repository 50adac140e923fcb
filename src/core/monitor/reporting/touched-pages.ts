/** The pages whose walks contain an entry that one vCPU wrote: its processing reports these, and no others (rule C4). */
import type { Space } from '../tables/table-node.ts';
import { partitionPoint } from '../../struct/partition-point.ts';

export class TouchedPages {
  readonly #pages = new Map<Space, Set<number>>();
  /** Longer spans: first and last page. */
  readonly #spans = new Map<Space, Spans>();
  /** `#pages`, made when the next of them is asked for. */
  readonly #sorted = new Map<Space, Float64Array>();

  /** Every page of these spaces. */
  static allOf(spaces: Iterable<Space>): TouchedPages {
    const touched = new TouchedPages();
    for (const space of spaces) touched.add(space, 0, Infinity);
    return touched;
  }

  add(space: Space, first: number, pages: number): void {
    if (pages === 1) entryOf(this.#pages, space, () => new Set<number>()).add(first);
    else entryOf(this.#spans, space, () => new Spans()).add(first, first + pages - 1);
  }

  /** Whether longer spans were added. */
  get hasSpans(): boolean {
    return this.#spans.size > 0;
  }

  /** The pages that were added one by one. */
  *pages(): Generator<readonly [space: Space, page: number]> {
    for (const [space, pages] of this.#pages) for (const page of pages) yield [space, page];
  }

  /** The last page, `last` at most, up to which all pages from `page` on have been added, or none has. */
  alikeUntil(space: Space, page: number, last: number): number {
    if (this.#pages.get(space)?.has(page) === true) return page;
    const end = this.#spans.get(space)?.alikeUntil(page, last) ?? last;
    if (this.hasSpan(space, page, 1)) return end;
    return this.#nextSingle(space, page, end);
  }

  /** The page before the next one that was added by itself. */
  #nextSingle(space: Space, page: number, last: number): number {
    const pages = this.#pages.get(space);
    if (pages === undefined) return last;
    let sorted = this.#sorted.get(space);
    if (sorted?.length !== pages.size) {
      sorted = Float64Array.from(pages).sort();
      this.#sorted.set(space, sorted);
    }
    const next = firstAbove(sorted, page);
    return next === undefined ? last : Math.min(last, next - 1);
  }

  has(space: Space, page: number): boolean {
    return this.#pages.get(space)?.has(page) === true || this.hasSpan(space, page, 1);
  }

  /** Whether longer spans that were added contain all of these pages. */
  hasSpan(space: Space, first: number, pages: number): boolean {
    return this.#spans.get(space)?.contain(first, first + pages - 1) === true;
  }
}

/** Spans of pages. Sorted, and overlapping ones united, when they are looked at. */
class Spans {
  #spans: { readonly first: number; last: number }[] = [];
  #isSorted = true;

  add(first: number, last: number): void {
    this.#spans.push({ first, last });
    this.#isSorted = false;
  }

  contain(first: number, last: number): boolean {
    const span = this.#from(first);
    return span !== undefined && span.first <= first && last <= span.last;
  }

  /** The last page, `last` at most, up to which all pages from `page` on are in a span, or none is. */
  alikeUntil(page: number, last: number): number {
    const span = this.#from(page);
    if (span === undefined) return last;
    return Math.min(last, span.first <= page ? span.last : span.first - 1);
  }

  /** The first span that does not end before a page. */
  #from(page: number): { readonly first: number; readonly last: number } | undefined {
    if (!this.#isSorted) this.#sort();
    return this.#spans[partitionPoint(this.#spans.length, (index) => this.#spans[index]!.last < page)];
  }

  #sort(): void {
    const united: { readonly first: number; last: number }[] = [];
    for (const span of this.#spans.sort((a, b) => a.first - b.first)) {
      const before = united.at(-1);
      if (before !== undefined && span.first <= before.last + 1) before.last = Math.max(before.last, span.last);
      else united.push(span);
    }
    this.#spans = united;
    this.#isSorted = true;
  }
}

/** The first number above another, of numbers that ascend. */
function firstAbove(numbers: Float64Array, other: number): number | undefined {
  return numbers[partitionPoint(numbers.length, (index) => numbers[index]! <= other)];
}

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
