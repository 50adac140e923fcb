/** The pages whose walks one vCPU has written to: those that its processing may speak of (rule C4). */
import type { AddressSpace } from './address-space.ts';

export class Touched {
  readonly #pages = new Map<AddressSpace, Set<number>>();
  /** Longer spans: the last page, by the first. */
  readonly #spans = new Map<AddressSpace, Map<number, number>>();

  add(space: AddressSpace, first: number, pages: number): void {
    if (pages === 1) {
      entryOf(this.#pages, space, () => new Set<number>()).add(first);
      return;
    }
    const spans = entryOf(this.#spans, space, () => new Map<number, number>());
    spans.set(first, Math.max(first + pages - 1, spans.get(first) ?? 0));
  }

  has(space: AddressSpace, page: number): boolean {
    return this.#pages.get(space)?.has(page) === true || this.hasSpan(space, page, 1);
  }

  /** Whether all of these pages lie in one span that was added. */
  hasSpan(space: AddressSpace, first: number, pages: number): boolean {
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
