/** The pages whose walks one vCPU has written to: those that its processing may speak of (rule C4). */
import type { AddressSpace } from './address-space.ts';

interface Span {
  readonly first: number;
  readonly last: number;
}

export class Touched {
  readonly #pages = new Map<AddressSpace, Set<number>>();
  readonly #spans = new Map<AddressSpace, Span[]>();

  add(space: AddressSpace, first: number, pages: number): void {
    if (pages === 1) entryOf(this.#pages, space, () => new Set<number>()).add(first);
    else entryOf(this.#spans, space, (): Span[] => []).push({ first, last: first + pages - 1 });
  }

  has(space: AddressSpace, page: number): boolean {
    if (this.#pages.get(space)?.has(page)) return true;
    return this.#spans.get(space)?.some((span) => span.first <= page && page <= span.last) ?? false;
  }
}

function entryOf<V>(map: Map<AddressSpace, V>, space: AddressSpace, make: () => V): V {
  let value = map.get(space);
  if (value === undefined) {
    value = make();
    map.set(space, value);
  }
  return value;
}
