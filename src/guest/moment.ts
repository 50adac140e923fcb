/** A guest at one moment: what is read of it, its address spaces, its Linux. Valid while the guest is paused. */
import { toPa } from '../core/address/pa.ts';
import { hex } from '../core/address/va.ts';
import { PtmonError } from '../core/error.ts';
import { type Paging, rootOf } from '../core/paging/format.ts';
import type { Piece } from '../core/paging/pieces.ts';
import { retry } from '../driver/retry.ts';
import type { MemoryRegion, Snapshot, TableSource } from '../driver/snapshot.ts';
import { kernelCache, type LinuxGuest, openLinux } from '../linux/index.ts';
import {
  type AddressRange,
  type AddressSpace,
  type AddressSpaceRequest,
  findAddressSpace,
  listRanges,
  type RangeFilter,
  type SpaceOptions,
  spacePieces,
  type Tables,
} from '../snapshot/index.ts';
import { checkOptions } from './check-options.ts';
import { readPhysicalBytes } from './memory/physical-bytes.ts';
import { checkLength, VirtualMemory, type VirtualRange } from './memory/virtual-memory.ts';

/** `listRanges` looks at the values of the others. */
const FILTER_TYPES = {
  writable: 'any',
  user: 'any',
  executable: 'any',
  pageSizes: 'array',
  minByteLength: 'number',
  maxByteLength: 'number',
  physical: 'object',
} as const satisfies Record<keyof RangeFilter, string>;

const SPACE_TYPES = {
  from: 'any',
  to: 'any',
  gaps: 'object',
  maxRepeats: 'number',
  onKept: 'function',
  onProgress: 'function',
  signal: 'object',
} as const satisfies Record<keyof SpaceOptions, string>;

/** One past the last page of 64 bits. */
const VPN_END = 2 ** 52;

/** What of a snapshot a moment asks: all but what is only for messages and for `close`. */
export type MomentSource = TableSource &
  Pick<Snapshot, 'registers' | 'kernelRoot' | 'readBytes' | 'isLeftOut' | 'warnings'> &
  Partial<Pick<Snapshot, 'regions'>>;

export class Moment {
  /** How the guest translates addresses. */
  readonly paging: Paging;
  /** Of a source that names no address space: the one that a search found, which may be another one than is meant. */
  readonly guess: AddressSpace | undefined;
  readonly #source: MomentSource;
  readonly #signal: AbortSignal | undefined;
  #linux: Promise<LinuxGuest> | undefined;
  /** Once it is found. */
  #known: LinuxGuest | undefined;

  constructor(source: MomentSource, paging: Paging, signal?: AbortSignal, guess?: AddressSpace) {
    this.paging = paging;
    this.guess = guess;
    this.#source = source;
    this.#signal = signal;
  }

  /** @throws PtmonError as `findAddressSpace`, by whose choice addresses are translated */
  static async of(snapshot: Snapshot, signal?: AbortSignal, request: AddressSpaceRequest = {}): Promise<Moment> {
    const space = await findAddressSpace(snapshot, request, signal === undefined ? {} : { signal });
    return new Moment(snapshot, space.paging, signal, space.isGuess ? space : undefined);
  }

  /** What of the source is missing or odd, a sentence each. */
  get warnings(): readonly string[] {
    return this.#source.warnings ?? [];
  }

  /**
   * The top-level table that a vCPU has loaded; of a source without registers, the kernel's where the source names it.
   *
   * @throws PtmonError `source-unavailable` where neither is known
   */
  currentRoot(vcpu = 0): number {
    const { registers, kernelRoot } = this.#source;
    if (registers !== undefined) return rootOf(this.paging, registers.readRegisters(vcpu).cr3);
    if (kernelRoot !== undefined) return kernelRoot.root;
    throw new PtmonError('source-unavailable', 'the source has no registers, so no current address space: name a root');
  }

  /**
   * The memory of an address space.
   *
   * @param root a CR3 value, or the physical address of a top-level table
   * @param name what messages call it; defaults to the top-level table
   * @param over refuses what is read once it is aborted
   */
  memoryOf(root: bigint | number, name?: string, over?: AbortSignal): VirtualMemory {
    return new VirtualMemory(this.#source, this.#space(root), { name, linux: this.#known, over });
  }

  /** Physical memory: its addresses are physical ones, and what is not RAM is absent. */
  physicalMemory(): VirtualMemory {
    return new VirtualMemory(this.#source, undefined, { name: 'physical memory' });
  }

  /** Where RAM is, ascending. @throws PtmonError `source-unavailable` where the source does not say: a guest that is watched by samples */
  get ram(): readonly MemoryRegion[] {
    const { regions, description } = this.#source;
    if (regions !== undefined) return regions;
    throw new PtmonError(
      'source-unavailable',
      `${description}: the addresses of RAM are unknown while the guest is sampled: give a range`,
    );
  }

  /** All that can be mapped: the two halves of an address space, as ranges. */
  get halves(): readonly VirtualRange[] {
    const { lowEnd, highStart } = this.paging;
    const halves = [
      [0, lowEnd],
      [highStart, VPN_END],
    ] as const;
    return halves.flatMap(([from, to]) =>
      from < to ? [{ va: BigInt(from) << 12n, byteLength: BigInt(to - from) << 12n }] : [],
    );
  }

  /** What the page tables of an address space map, ascending. @param root as `memoryOf` */
  async ranges(root: bigint | number, filter?: RangeFilter): Promise<readonly AddressRange[]> {
    if (filter !== undefined) checkOptions('ranges', filter, FILTER_TYPES);
    const options = { ...(filter && { filter }), ...(this.#signal && { signal: this.#signal }) };
    const found: AddressRange[] = [];
    for await (const range of listRanges(this.#source, this.#space(root), { by: 'runs', ...options }))
      found.push(range);
    return found;
  }

  /** The same in as few pieces as the tables allow, in batches: for callers that draw or count pages. @param root as `memoryOf` */
  pieces(root: bigint | number, options: SpaceOptions = {}): AsyncGenerator<readonly Piece[], void, undefined> {
    checkOptions('pieces', options, SPACE_TYPES);
    const signal = this.#signal && { signal: this.#signal };
    return spacePieces(this.#source, this.#space(root), { ...signal, ...options });
  }

  #space(root: bigint | number): Tables {
    return { paging: this.paging, root: rootOf(this.paging, root) };
  }

  /** Bytes at a physical address. @throws PtmonError `read-failed` where any of them is not RAM; what the source throws */
  async readPhysical(pa: number, byteLength: number): Promise<Uint8Array> {
    checkLength(byteLength);
    const start = toPa(pa);
    const read = () => readPhysicalBytes(this.#source, start, byteLength);
    const bytes = await retry(read, { remote: this.#source.remote, signal: this.#signal });
    if (bytes.length === byteLength) return bytes;
    throw new PtmonError('read-failed', `${hex(pa)}+${byteLength}: not all of this physical memory is RAM`);
  }

  /**
   * The guest's Linux, found at the first call.
   *
   * @throws PtmonError `source-unavailable` where there is none, naming what was found; `corrupt-input` where its types are invalid
   */
  linux(): Promise<LinuxGuest> {
    const signal = this.#signal && { signal: this.#signal };
    const space = this.guess && { space: this.guess };
    this.#linux ??= openLinux(this.#source, { cache: kernelCache(), ...signal, ...space }).then(
      (linux) => (this.#known = linux),
    );
    return this.#linux;
  }
}
