/** What is watched in a replay, as far as it must be known to say how much that takes. */
import { type Paging, rootOf } from '../../../core/paging/format.ts';
import type { WatchCall } from '../../../driver/watch-calls.ts';
import { ChargedSpans } from './charged-spans.ts';

/** A watched address, and the tables of its own that it may bring along. */
const ADDRESS_BYTES = 2048;
const RANGE_BYTES = 1024;
/** Of ranges that overlap, each piece keeps the tags of all, and is copied when it is cut. */
const OVERLAP_BYTES = 1024;

interface Space {
  /** How often each is watched. */
  readonly addresses: Map<bigint, number>;
  readonly spans: ChargedSpans;
}

export class WatchCharges {
  readonly #paging: Paging;
  /** Takes bytes into account, or out of it. */
  readonly #charge: (byteLength: number) => void;
  /** By root, then by view. */
  readonly #spaces = new Map<number, Map<number, Space>>();

  constructor(paging: Paging, charge: (byteLength: number) => void) {
    this.#paging = paging;
    this.#charge = charge;
  }

  /** Before the call is made. @throws what `charge` throws, and for roots that are none */
  count(call: WatchCall): void {
    switch (call.kind) {
      case 'monitor':
        this.#addAddress(this.#spaceOf(call.root, call.view), call.va);
        break;
      case 'monitorRange':
        this.#addRange(this.#spaceOf(call.root, call.view), call.va, call.byteLength);
        break;
      case 'unmonitor':
        this.#removeAddress(this.#spaceOf(call.root, call.view), call.va, 1);
        break;
      case 'unmonitorRange':
        this.#removeRange(this.#spaceOf(call.root, call.view), call.va, call.byteLength);
        break;
      case 'rootGone':
        this.rootGone(call.root, call.view);
        break;
      case 'unmonitorView':
      case 'unmonitorAll':
        for (const root of this.#spaces.keys())
          this.rootGone(root, call.kind === 'unmonitorAll' ? undefined : call.view);
        break;
      case 'unmonitorByForce':
        // Pages of ranges stay charged.
        this.#removeAddress(this.#spaceOf(call.root, call.view), call.va, Infinity);
        break;
      case 'resync':
        break;
    }
  }

  /** Everything of a root is released, in one view or in all. */
  rootGone(root: number | bigint, view?: number): void {
    const views = this.#spaces.get(rootOf(this.#paging, root));
    for (const [each, space] of views ?? []) {
      if (view !== undefined && each !== view) continue;
      for (const va of space.addresses.keys()) this.#removeAddress(space, va, Infinity);
      this.#charge(-space.spans.total);
      views!.delete(each);
    }
  }

  #addRange({ spans }: Space, start: bigint, byteLength: bigint): void {
    const end = start + byteLength;
    const charge = RANGE_BYTES + spans.overlapping(start, end) * OVERLAP_BYTES;
    this.#charge(charge);
    spans.add(start, end, charge);
  }

  #removeRange({ spans }: Space, start: bigint, byteLength: bigint): void {
    this.#charge(-spans.remove(start, start + byteLength));
  }

  #addAddress({ addresses }: Space, va: bigint): void {
    this.#charge(ADDRESS_BYTES);
    addresses.set(va, (addresses.get(va) ?? 0) + 1);
  }

  /** @param most references that are released, as far as there are any */
  #removeAddress({ addresses }: Space, va: bigint, most: number): void {
    const held = addresses.get(va) ?? 0;
    const released = Math.min(held, most);
    if (held > released) addresses.set(va, held - released);
    else addresses.delete(va);
    this.#charge(-ADDRESS_BYTES * released);
  }

  #spaceOf(root: bigint, view: number): Space {
    const rootPa = rootOf(this.#paging, root);
    const views = this.#spaces.get(rootPa) ?? new Map<number, Space>();
    this.#spaces.set(rootPa, views);
    const space = views.get(view) ?? { addresses: new Map(), spans: new ChargedSpans() };
    views.set(view, space);
    return space;
  }
}
