/** The pages whose walks contain an entry that one vCPU wrote: its processing reports these, and no others (rule C4). */
import type { Space } from '../tables/table-node.ts';

export class TouchedPages {
  readonly #pages = new Map<Space, Set<number>>();
  /** Longer spans: the last page, by the first. */
  readonly #spans = new Map<Space, Map<number, number>>();

  /** Every page of these spaces. */
  static allOf(spaces: Iterable<Space>): TouchedPages {
    const touched = new TouchedPages();
    for (const space of spaces) touched.add(space, 0, Infinity);
    return touched;
  }

  add(space: Space, first: number, pages: number): void {
    if (pages === 1) {
      entryOf(this.#pages, space, () => new Set<number>()).add(first);
      return;
    }
    const spans = entryOf(this.#spans, space, () => new Map<number, number>());
    spans.set(first, Math.max(first + pages - 1, spans.get(first) ?? 0));
  }

  has(space: Space, page: number): boolean {
    return this.#pages.get(space)?.has(page) === true || this.hasSpan(space, page, 1);
  }

  /** Whether one span that was added contains all of these pages. */
  hasSpan(space: Space, first: number, pages: number): boolean {
    for (const [from, to] of this.#spans.get(space) ?? []) if (from <= first && first + pages - 1 <= to) return true;
    return false;
  }
}

function entryOf<K, V>(map: Map<K, V>, key: K, make: () => V): V {
  let value = map.get(key);
  if (value === undefined) {
    value = make();
    map.set(key, value);
  }
  return value;
}
