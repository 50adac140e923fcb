/** A guest at one moment: what is read of it, its address spaces, its Linux. Valid while the guest is paused. */
import { hex } from '../core/address/va.ts';
import { PtmonError } from '../core/error.ts';
import { type Paging, rootOf } from '../core/paging/format.ts';
import type { Piece } from '../core/paging/pieces.ts';
import type { RegisterAccess } from '../driver/driver.ts';
import { retry } from '../driver/retry.ts';
import type { KernelRoot, Snapshot } from '../driver/snapshot.ts';
import { kernelCache, type LinuxGuest, openLinux } from '../linux/index.ts';
import { type AddressRange, listRanges, type RangeFilter, type SpaceOptions, spacePieces } from '../snapshot/index.ts';
import { readPhysicalBytes } from './memory/physical-bytes.ts';
import { type MemorySource, VirtualMemory } from './memory/virtual-memory.ts';

export interface MomentParts extends MemorySource {
  readonly registers?: RegisterAccess | undefined;
  readonly kernelRoot?: KernelRoot | undefined;
}

export class Moment {
  readonly #parts: MomentParts;
  readonly #signal: AbortSignal | undefined;
  #linux: Promise<LinuxGuest> | undefined;

  constructor(parts: MomentParts, signal?: AbortSignal) {
    this.#parts = parts;
    this.#signal = signal;
  }

  get paging(): Paging {
    return this.#parts.paging;
  }

  /**
   * The top-level table that a vCPU has loaded; of a source without registers, the kernel's where the source names it.
   *
   * @throws PtmonError `source-unavailable` where neither is known
   */
  currentRoot(vcpu = 0): number {
    const { registers, kernelRoot } = this.#parts;
    if (registers !== undefined) return rootOf(this.paging, registers.readRegisters(vcpu).cr3);
    if (kernelRoot !== undefined) return kernelRoot.root;
    throw new PtmonError('source-unavailable', 'the source has no registers, so no current address space: name a root');
  }

  /** The memory of an address space. @param root a CR3 value, or the physical address of a top-level table */
  memoryOf(root: bigint | number): VirtualMemory {
    return new VirtualMemory(this.#parts, rootOf(this.#parts.paging, root));
  }

  /** What the page tables of an address space map, ascending. @param root as `memoryOf` */
  async ranges(root: bigint | number, filter?: RangeFilter): Promise<readonly AddressRange[]> {
    const { paging } = this.#parts;
    const space = { paging, root: rootOf(paging, root), from: '', isGuess: false };
    const options = { ...(filter && { filter }), ...(this.#signal && { signal: this.#signal }) };
    const found: AddressRange[] = [];
    for await (const range of listRanges(this.#snapshot, space, { by: 'runs', ...options })) found.push(range);
    return found;
  }

  /** The same in as few pieces as the tables allow, in batches: for callers that draw or count pages. @param root as `memoryOf` */
  pieces(root: bigint | number, options: SpaceOptions = {}): AsyncGenerator<readonly Piece[], void, undefined> {
    const { paging } = this.#parts;
    const signal = this.#signal && { signal: this.#signal };
    return spacePieces(this.#snapshot, { paging, root: rootOf(paging, root) }, { ...signal, ...options });
  }

  get #snapshot(): Snapshot {
    const { memory, remote } = this.#parts;
    return { description: '', memory, regions: [], close: async () => {}, ...(remote && { remote }) };
  }

  /** Bytes at a physical address. @throws PtmonError `read-failed` where any of them is not RAM; what the source throws */
  async readPhysical(pa: number, byteLength: number): Promise<Uint8Array> {
    const { remote } = this.#parts;
    const read = () => readPhysicalBytes(this.#parts, pa, byteLength);
    const bytes = await retry(read, { remote, signal: this.#signal });
    if (bytes.length === byteLength) return bytes;
    throw new PtmonError(
      'read-failed',
      `physical memory from ${hex(pa)} on, ${byteLength} bytes: not all of it is RAM`,
    );
  }

  /**
   * The guest's Linux, found at the first call.
   *
   * @throws PtmonError `source-unavailable` where there is none, naming what was found; `corrupt-input` where its types are invalid
   */
  linux(): Promise<LinuxGuest> {
    const { memory, remote, registers, kernelRoot } = this.#parts;
    this.#linux ??= openLinux(
      { memory, ...(remote && { remote }), ...(registers && { registers }), ...(kernelRoot && { kernelRoot }) },
      { cache: kernelCache(), ...(this.#signal && { signal: this.#signal }) },
    );
    return this.#linux;
  }
}
