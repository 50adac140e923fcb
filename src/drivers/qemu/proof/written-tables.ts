/**
 * Sampling with proof: the kernel notes which of the pages that were read are written, so that nothing is lost in the others.
 *
 * A frame is protected before anything in it is read (rule C3), and is one of the protected until a sample finds it written. If the
 * monitor still wants it then, it asks for it, and it is protected and read again. So nobody has to say which frames are tables, and what
 * a sample costs follows what the guest writes.
 */
import { gfnOf, PAGE_BYTES } from '../../../core/address/pa.ts';
import { errorText, PtmonError } from '../../../core/error.ts';
import { type PhysicalMemory, READ_NOT_FETCHED, type ReadOutcome } from '../../../core/memory/physical-memory.ts';
import type { RemoteFetch, WriteProof } from '../../../driver/driver.ts';
import { RamRegions } from '../../ramfile/index.ts';
import type { FollowedMemory } from '../memory/followed-memory.ts';
import { readHostAddresses } from '../memory/host-addresses.ts';
import { parseMemoryTree } from '../memory/memory-tree.ts';
import { findQemuProcess } from '../memory/process-memory.ts';
import type { QmpClient } from '../qmp/index.ts';
import { hasForeignFilters, tracerOf } from './foreign-filters.ts';
import { areaAt } from './host-areas.ts';
import { type HostArea, WrittenPages } from './written-pages.ts';

/** So often all is compared while a watched walk leads to frames of which nothing can be noted: RAM may have been plugged in there. */
const ELSEWHERE_MS = 1000;

async function findRam(qmp: QmpClient) {
  const pieces = parseMemoryTree(await qmp.humanMonitor('info mtree -f'));
  const regions = await readHostAddresses(qmp, pieces);
  return { pid: await findQemuProcess([qmp.address], regions), regions: new RamRegions(regions) };
}

interface Parts {
  readonly qmp: QmpClient;
  readonly pid: number;
  readonly regions: RamRegions;
  readonly memory: FollowedMemory;
  readonly pages: WrittenPages;
}

export class WrittenTables implements WriteProof, PhysicalMemory, RemoteFetch {
  readonly memory: PhysicalMemory = this;
  readonly remote: RemoteFetch = this;
  /** Called once, when it is over: the watch goes on without proof. */
  onEnd: (why: string) => void = () => {};
  readonly #parts: Parts;
  #regions: RamRegions;
  /** The map that the regions were read for. */
  #known: unknown;
  readonly #areas: HostArea[] = [];
  /** Frames to which writes are noted, by the page of QEMU that has them. */
  readonly #frames = new Map<number, number[]>();
  readonly #protected = new Set<number>();
  /** Frames of which nothing can be noted: they count as written at each sample. */
  readonly #elsewhere = new Set<number>();
  /** Settles when what was asked of the kernel so far is done. */
  #done: Promise<unknown> = Promise.resolve();
  #comparedMs = performance.now();
  #isOver = false;

  private constructor(parts: Parts) {
    this.#parts = parts;
    this.#regions = parts.regions;
    this.#known = parts.memory.regions;
  }

  /** @throws PtmonError `source-unavailable`, saying what is missing and how to provide it */
  static async open(qmp: QmpClient, memory: FollowedMemory): Promise<WrittenTables> {
    const { pid, regions } = await findRam(qmp);
    if (hasForeignFilters(pid)) {
      const what =
        'QEMU runs under a seccomp filter (of a container or of systemd), which may kill it when it makes a userfaultfd';
      throw new PtmonError('source-unavailable', what);
    }
    const tracer = tracerOf(pid);
    if (tracer !== undefined) {
      const what = `process ${tracer} traces QEMU (gdb, strace), and only one process can`;
      throw new PtmonError('source-unavailable', what);
    }
    const pages = await WrittenPages.open(pid);
    const tables = new WrittenTables({ qmp, pid, regions, memory, pages });
    try {
      // Whether memory of this kind can be tracked is known only now.
      await tables.#protect([gfnOf(regions.list[0]!.pa)]);
      await tables.#scan();
      return tables;
    } catch (error) {
      await pages.close();
      throw error;
    }
  }

  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    const gfn = gfnOf(pa);
    const isReadable = this.#isOver || this.#protected.has(gfn) || this.#elsewhere.has(gfn);
    return isReadable ? this.#parts.memory.readEntry(pa, byteLength, out) : READ_NOT_FETCHED;
  }

  stillHolds(entries: Iterable<number>, byteLength: 4 | 8): boolean {
    return this.#parts.memory.stillHolds(entries, byteLength);
  }

  /** @throws PtmonError as `FollowedMemory.fetch`. What has to do with proof alone ends it, and fails nothing */
  async fetch(addresses: readonly number[], signal?: AbortSignal): Promise<void> {
    await this.#parts.memory.fetch(addresses, signal);
    await this.#inTurn(async () => {
      const frames = new Set(addresses.map(gfnOf).filter((gfn) => !this.#protected.has(gfn)));
      await this.#protect([...frames]);
    });
  }

  /** As `SampledMemory.writtenFrames`. */
  async writtenFrames(): Promise<readonly number[] | undefined> {
    if (this.#isOver) return undefined;
    const frames = await this.#inTurn(() => this.#scan());
    if (frames === undefined) return undefined;
    if (this.#elsewhere.size === 0) return frames;
    frames.push(...this.#elsewhere);
    this.#elsewhere.clear();
    if (performance.now() - this.#comparedMs < ELSEWHERE_MS) return frames;
    this.#comparedMs = performance.now();
    return undefined;
  }

  close(): Promise<void> {
    this.#isOver = true;
    return this.#parts.pages.close();
  }

  /**
   * One after the other: to protect a page again would make the kernel forget that it was written. A failure ends the proof.
   *
   * @returns undefined where it is over
   */
  #inTurn<T>(work: () => Promise<T>): Promise<T | undefined> {
    const result = this.#done
      .then(() => (this.#isOver ? undefined : work()))
      .catch((error: unknown) => this.#end(error));
    this.#done = result;
    return result;
  }

  /** The frames that were written. They are no longer protected. */
  async #scan(): Promise<number[]> {
    const written = await this.#parts.pages.scan();
    const frames = written.flatMap((page) => this.#frames.get(page) ?? []);
    for (const page of written) this.#frames.delete(page);
    for (const gfn of frames) this.#protected.delete(gfn);
    return frames;
  }

  async #protect(frames: readonly number[]): Promise<void> {
    if (this.#known !== this.#parts.memory.regions) await this.#readMap();
    const pages = new Map<number, number[]>();
    for (const gfn of frames) {
      const page = await this.#pageOf(gfn);
      if (page === undefined) this.#elsewhere.add(gfn);
      else pages.set(page, [...(pages.get(page) ?? []), gfn]);
    }
    const added = [...pages.keys()].filter((page) => !this.#frames.has(page));
    if (added.length > 0) await this.#parts.pages.protect(added);
    for (const [page, frames] of pages) {
      this.#frames.set(page, [...(this.#frames.get(page) ?? []), ...frames]);
      for (const gfn of frames) {
        this.#protected.add(gfn);
        // Others read this memory, too: what they have read before is not to be taken for what is read now.
        this.#parts.memory.forget(gfn);
      }
    }
  }

  /** The address in QEMU of the page that holds a frame; undefined where it is no RAM that is known. */
  async #pageOf(gfn: number): Promise<number | undefined> {
    const region = this.#regions.find(gfn * PAGE_BYTES);
    if (region === undefined) return undefined;
    const address = region.position + gfn * PAGE_BYTES - region.pa;
    const area = this.#areas.find(({ start, byteLength }) => address >= start && address < start + byteLength);
    const { start, pageBytes } = area ?? (await this.#register(address));
    return address - ((address - start) % pageBytes);
  }

  async #register(address: number): Promise<HostArea> {
    const area = areaAt(this.#parts.pid, address);
    if (area === undefined) throw new PtmonError('source-unavailable', 'QEMU has moved its memory');
    await this.#parts.pages.register(area);
    this.#areas.push(area);
    return area;
  }

  async #readMap(): Promise<void> {
    this.#known = this.#parts.memory.regions;
    this.#regions = (await findRam(this.#parts.qmp)).regions;
    // Other memory may be mapped there now.
    this.#areas.length = 0;
  }

  #end(error: unknown): undefined {
    if (this.#isOver) return;
    this.#isOver = true;
    void this.#parts.pages.close();
    this.onEnd(errorText(error));
  }
}
