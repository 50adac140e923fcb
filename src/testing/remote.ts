/** Makes the machine's memory remote: nothing can be read before it was fetched, nor after the guest has run on. */
import { gfnOf } from '../core/address/pa.ts';
import { PageCache } from '../core/memory/page-cache.ts';
import type { PhysicalMemory, ReadOutcome } from '../core/memory/physical-memory.ts';
import type { SparseMemory } from '../core/memory/sparse-memory.ts';
import type { RemoteFetch } from '../driver/driver.ts';

export class RemoteMemory implements PhysicalMemory, RemoteFetch {
  readonly #source: SparseMemory;
  readonly #cache = new PageCache();
  /** Frames fetched so far. */
  fetched = 0;

  constructor(source: SparseMemory) {
    this.#source = source;
  }

  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    return this.#cache.readEntry(pa, byteLength, out);
  }

  /** @throws the reason of `signal` when it is aborted */
  async fetch(addresses: readonly number[], signal?: AbortSignal): Promise<void> {
    // What is remote is never here in the same turn.
    await Promise.resolve();
    signal?.throwIfAborted();
    for (const gfn of new Set(addresses.map(gfnOf))) {
      const page = this.#source.page(gfn);
      this.#cache.put(gfn, page === undefined ? null : new Uint8Array(page.buffer, page.byteOffset, page.byteLength));
      this.fetched++;
    }
  }

  /** The guest runs on. */
  forget(): void {
    if (this.#cache.pageCount > 0) this.#cache.clear();
  }
}
