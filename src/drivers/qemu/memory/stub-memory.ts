/** The way through the gdbstub: physical memory that is fetched page by page while the guest is stopped. */
import { gfnOf, PAGE_BYTES } from '../../../core/address/pa.ts';
import { PtmonError } from '../../../core/error.ts';
import { PageCache } from '../../../core/memory/page-cache.ts';
import type { RemoteFetch } from '../../../driver/driver.ts';
import { type RamRegion, RamRegions } from '../../ramfile/index.ts';
import type { GdbClient } from '../gdb/index.ts';

/** What of the client it takes. */
export type PhysicalReader = Pick<GdbClient, 'address' | 'readPhysicalRanges'>;

export class StubMemory implements RemoteFetch {
  readonly memory: PageCache;
  readonly #gdb: PhysicalReader;
  readonly #regions: RamRegions;
  #isClosed = false;

  /** @param regions where RAM is: the stub itself answers with zeros for what is none, and reading a device may change it */
  constructor(gdb: PhysicalReader, regions: readonly RamRegion[], maxPages?: number) {
    this.#gdb = gdb;
    this.#regions = new RamRegions(regions);
    this.memory = new PageCache(maxPages === undefined ? {} : { maxPages });
  }

  get regions(): readonly RamRegion[] {
    return this.#regions.list;
  }

  /** @throws PtmonError as `GdbClient.readPhysicalRanges`; `closed`; the reason of `signal` when it is aborted */
  async fetch(addresses: readonly number[], signal?: AbortSignal): Promise<void> {
    this.#expectOpen();
    signal?.throwIfAborted();
    const frames = [...new Set(addresses.map(gfnOf))];
    const there = frames.filter((gfn) => this.#regions.find(gfn * PAGE_BYTES) !== undefined);
    const pages = await this.#gdb.readPhysicalRanges(
      there.map((gfn) => ({ pa: gfn * PAGE_BYTES, byteLength: PAGE_BYTES })),
    );
    signal?.throwIfAborted();
    const contents = new Map(there.map((gfn, at) => [gfn, pages[at]!]));
    for (const gfn of frames) this.memory.put(gfn, contents.get(gfn) ?? null);
  }

  /** Undefined where any of the bytes is not RAM. @throws PtmonError as `fetch` */
  async readBytes(pa: number, byteLength: number): Promise<Uint8Array | undefined> {
    this.#expectOpen();
    if (byteLength === 0) return new Uint8Array();
    for (let at = pa; at < pa + byteLength; ) {
      const region = this.#regions.find(at);
      if (region === undefined) return undefined;
      at = region.pa + region.byteLength;
    }
    const [bytes] = await this.#gdb.readPhysicalRanges([{ pa, byteLength }]);
    return bytes;
  }

  /** The guest has run on. */
  clear(): void {
    this.memory.clear();
  }

  close(): void {
    this.#isClosed = true;
    this.memory.clear();
  }

  #expectOpen(): void {
    if (this.#isClosed) throw new PtmonError('closed', `the memory behind ${this.#gdb.address} is closed`);
  }
}
