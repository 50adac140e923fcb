/** Memory of an address space, or physical memory. */
import { requireCapability } from '../capabilities.ts';
import { writeTo } from '../hooks/breakpoint.ts';
import type { Moment } from '../moment.ts';
import type { GuestSource } from '../source/guest-source.ts';
import { type DumpedRange, dumpRange } from './dump.ts';
import { search } from './search.ts';
import type { VirtualMemory, VirtualRange } from './virtual-memory.ts';

/** Each call looks at the guest as it is then. Addresses of physical memory are physical ones. */
export class GuestMemory {
  readonly #source: GuestSource;
  readonly #root: bigint | undefined;

  /** @param root a CR3 value; undefined for physical memory @internal */
  constructor(source: GuestSource, root: bigint | undefined) {
    this.#source = source;
    this.#root = root;
  }

  /** Reads bytes. @throws PtmonError `read-failed` naming the first address that is not there */
  read(va: bigint, byteLength: number): Promise<Uint8Array> {
    return this.#ask((memory) => memory.read(va, byteLength));
  }

  /** Reads a text up to its zero byte, as UTF-8. @throws PtmonError as `read` */
  readString(va: bigint, maxBytes?: number): Promise<string> {
    return this.#ask((memory) => memory.readString(va, maxBytes));
  }

  /** The addresses at which a pattern is, ascending. @param range where to search; all of it by default */
  search(pattern: Uint8Array | string, range?: VirtualRange): Promise<readonly bigint[]> {
    return this.#ask(async (memory, moment) => {
      const found: bigint[] = [];
      for (const each of range === undefined ? this.#all(moment) : [range])
        for await (const va of search(memory, pattern, each)) found.push(va);
      return found;
    });
  }

  /** Writes a range to a new file. @returns what is absent; the file has holes there */
  dump(range: VirtualRange, path: string): Promise<DumpedRange> {
    return this.#ask((memory) => dumpRange(memory, { ...range, path }));
  }

  /** Writes bytes. @throws PtmonError as `read`, before anything is written; `bad-argument` where the guest cannot be written to */
  async write(va: bigint, bytes: Uint8Array): Promise<void> {
    requireCapability(this.#source.capabilities, 'write', `writing to ${this.#source.name}`);
    await this.#source.watching(({ live }) => live.paused(() => writeTo(live, this.#in(live.moment), va, bytes)));
  }

  #ask<T>(work: (memory: VirtualMemory, moment: Moment) => Promise<T>): Promise<T> {
    return this.#source.paused(async (moment) => work(this.#in(moment), moment));
  }

  #in(moment: Moment): VirtualMemory {
    return this.#root === undefined ? moment.physicalMemory() : moment.memoryOf(this.#root);
  }

  #all(moment: Moment): readonly VirtualRange[] {
    if (this.#root !== undefined) return moment.halves;
    return moment.ram.map(({ pa, byteLength }) => ({ va: BigInt(pa), byteLength: BigInt(byteLength) }));
  }
}
