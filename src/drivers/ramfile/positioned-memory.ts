/**
 * Guest RAM that can be read at positions on this host: a RAM file, or the memory of the process that is the guest.
 *
 * Pages are kept until `clear`, so that all questions between two runs of the guest are answered alike. A guest that runs writes
 * while its memory is read, and a copy of 4 KiB promises nothing of the entries in it: an entry is believed when two reads in
 * succession agree on it. For a wrong one to pass, both would have to be cut at the same entry, showing the same two halves.
 */
import { frameOffsetOf, gfnOf, PAGE_BYTES } from '../../core/address/pa.ts';
import { hex } from '../../core/address/va.ts';
import { PtmonError } from '../../core/error.ts';
import { type PhysicalMemory, READ_NO_MEMORY, READ_OK, type ReadOutcome } from '../../core/memory/physical-memory.ts';
import type { PositionedSource } from './positioned-source.ts';
import { type RamRegion, RamRegions } from './ram-regions.ts';

/** Regions of RAM, and what holds them. */
export interface MemoryPart<Source extends PositionedSource = PositionedSource> {
  readonly source: Source;
  readonly regions: readonly RamRegion[];
}

export interface PositionedMemoryOptions {
  /** Pages held at most; defaults to 4096 (16 MiB). At least 1. */
  readonly maxPages?: number;
  /** The guest writes while it is read: entries are read until they hold still. Defaults to false. */
  readonly guestRuns?: boolean;
}

interface SourceRegion extends RamRegion {
  readonly source: PositionedSource;
}

interface Page {
  gfn: number;
  /** Of the `clear`s after which it was read: an older page is to be read anew. */
  generation: number;
  readonly words: Uint32Array;
  readonly bytes: Buffer;
  /** Slots of 8 bytes that changed between two reads; undefined where none did. */
  unsettled: Set<number> | undefined;
}

/** So often is everything read anew for one sample. Only a guest that does nothing but lead walks elsewhere reaches it. */
const MAX_DISTURBANCES = 32;

/** Entries of which both halves change all the time are read so often: half a millisecond. No kernel writes a table like that. */
const MAX_ENTRY_READS = 400;

export class PositionedMemory implements PhysicalMemory {
  readonly #regions: RamRegions<SourceRegion>;
  readonly #sources: readonly PositionedSource[];
  readonly #maxPages: number;
  readonly #guestRuns: boolean;
  /** Oldest first; the buffers of old pages are used again. */
  readonly #pages = new Map<number, Page>();
  readonly #again = Buffer.alloc(PAGE_BYTES);
  readonly #againWords = new Uint32Array(this.#again.buffer, this.#again.byteOffset, PAGE_BYTES / 4);
  #generation = 0;
  #disturbances = 0;
  // The page read last: entries are read in runs.
  #last: Page = emptyPage();

  /** @throws PtmonError `bad-argument` */
  constructor(parts: readonly MemoryPart[], options: PositionedMemoryOptions = {}) {
    const { maxPages = 4096, guestRuns = false } = options;
    if (!Number.isSafeInteger(maxPages) || maxPages < 1) {
      throw new PtmonError('bad-argument', `maxPages ${maxPages}: a cache needs at least one page`);
    }
    this.#maxPages = maxPages;
    this.#guestRuns = guestRuns;
    this.#sources = parts.map(({ source }) => source);
    this.#regions = new RamRegions(
      parts.flatMap(({ source, regions }) => regions.map((region) => ({ ...region, source }))),
    );
  }

  /** In ascending order. */
  get regions(): readonly RamRegion[] {
    return this.#regions.list;
  }

  /** Pages held now, those from before the last `clear` among them. */
  get pageCount(): number {
    return this.#pages.size;
  }

  /**
   * As `PhysicalMemory` says.
   *
   * @throws PtmonError `read-failed` also for an entry that never holds still
   */
  readEntry(pa: number, byteLength: 4 | 8, out: Uint32Array): ReadOutcome {
    const gfn = gfnOf(pa);
    if (gfn !== this.#last.gfn || this.#last.generation !== this.#generation) {
      const page = this.#fresh(gfn);
      if (page === undefined) return READ_NO_MEMORY;
      this.#last = page;
    }
    const page = this.#last;
    const word = frameOffsetOf(pa) >>> 2;
    if (page.unsettled?.has(word >>> 1) === true) this.#settle(page, word >>> 1);
    out[0] = page.words[word]!;
    out[1] = byteLength === 8 ? page.words[word + 1]! : 0;
    return READ_OK;
  }

  /**
   * Bytes at a physical address as they are now, past what `readEntry` keeps; they may span pages and regions. Where the guest
   * runs, they are of no single moment.
   *
   * @returns undefined where any of them is not RAM
   * @throws PtmonError
   */
  readBytes(pa: number, byteLength: number): Uint8Array | undefined {
    const bytes = new Uint8Array(byteLength);
    for (let done = 0; done < byteLength; ) {
      const region = this.#regions.find(pa + done);
      if (region === undefined) return undefined;
      const offset = pa + done - region.pa;
      const end = Math.min(byteLength, done + region.byteLength - offset);
      region.source.read(bytes.subarray(done, end), region.position + offset);
      done = end;
    }
    return bytes;
  }

  /** As `PhysicalMemory` says. Of what has left the cache nothing can be said, and it is taken to hold. */
  stillHolds(entries: Iterable<number>, byteLength: 4 | 8): boolean {
    if (!this.#guestRuns || this.#disturbances === MAX_DISTURBANCES) return true;
    for (const pa of entries) {
      if (this.#isAsRead(pa, byteLength)) continue;
      this.#disturbances++;
      this.#generation++;
      return false;
    }
    return true;
  }

  #isAsRead(pa: number, byteLength: 4 | 8): boolean {
    const page = this.#pages.get(gfnOf(pa));
    const region = this.#regions.find(pa);
    if (page?.generation !== this.#generation || region === undefined) return true;
    region.source.read(this.#again.subarray(0, byteLength), region.position + (pa - region.pa));
    const word = frameOffsetOf(pa) >>> 2;
    const isSame = (at: number) => this.#againWords[at] === page.words[word + at];
    return isSame(0) && (byteLength === 4 || isSame(1));
  }

  /** Forgets what was read: the guest runs on. */
  clear(): void {
    this.#generation++;
    this.#disturbances = 0;
  }

  /** Forgets one frame: what is read of it from now on is read anew. */
  forget(gfn: number): void {
    const page = this.#pages.get(gfn);
    if (page !== undefined) page.generation = -1;
  }

  /** Whether the sources still are what was opened. @throws PtmonError `source-unavailable` */
  check(): void {
    for (const source of this.#sources) source.check();
  }

  /** Closes the sources; reading throws from then on. May be called again. */
  close(): void {
    this.clear();
    this.#pages.clear();
    for (const source of this.#sources) source.close();
  }

  #fresh(gfn: number): Page | undefined {
    const known = this.#pages.get(gfn);
    if (known !== undefined && known.generation === this.#generation) return known;
    const region = this.#regions.find(gfn * PAGE_BYTES);
    if (region === undefined) return undefined;
    const page = known ?? this.#takeBuffer();
    this.#pages.delete(page.gfn);
    // Until it is whole it is nobody's page: a read may throw.
    page.gfn = -1;
    this.#fill(page, region, gfn * PAGE_BYTES);
    page.gfn = gfn;
    page.generation = this.#generation;
    this.#pages.set(gfn, page);
    return page;
  }

  #takeBuffer(): Page {
    if (this.#pages.size < this.#maxPages) return emptyPage();
    const [oldest] = this.#pages.values();
    return oldest!;
  }

  #fill(page: Page, region: SourceRegion, pa: number): void {
    const position = region.position + (pa - region.pa);
    page.unsettled = undefined;
    region.source.read(page.bytes, position);
    if (!this.#guestRuns) return;
    region.source.read(this.#again, position);
    if (page.bytes.equals(this.#again)) return;
    page.unsettled = new Set();
    for (let word = 0; word < PAGE_BYTES / 4; word++) {
      if (page.words[word] !== this.#againWords[word]) page.unsettled.add(word >>> 1);
    }
    page.bytes.set(this.#again);
  }

  /**
   * Reads a slot of 8 bytes until two reads agree. Or until one half was the same in three: the other half of the middle one then
   * belongs to it, so a slot of which only one half changes, however often, is read too.
   */
  #settle(page: Page, slot: number): void {
    const pa = page.gfn * PAGE_BYTES + slot * 8;
    const region = this.#regions.find(pa)!;
    const entry = this.#again.subarray(0, 8);
    let [lo, hi] = [page.words[slot * 2]!, page.words[slot * 2 + 1]!];
    let [loRested, hiRested] = [false, false];
    for (let reads = 0; reads < MAX_ENTRY_READS; reads++) {
      region.source.read(entry, region.position + (pa - region.pa));
      const [newLo, newHi] = [this.#againWords[0]!, this.#againWords[1]!];
      const [loRests, hiRests] = [lo === newLo, hi === newHi];
      if ((loRests && (hiRests || loRested)) || (hiRests && hiRested)) {
        page.words[slot * 2] = lo;
        page.words[slot * 2 + 1] = hi;
        page.unsettled!.delete(slot);
        return;
      }
      [lo, hi, loRested, hiRested] = [newLo, newHi, loRests, hiRests];
    }
    throw new PtmonError(
      'read-failed',
      `${region.source.name}: the entry at ${hex(pa)} had another value in each of ${MAX_ENTRY_READS} reads`,
      { entryPa: pa },
    );
  }
}

function emptyPage(): Page {
  const words = new Uint32Array(PAGE_BYTES / 4);
  return { gfn: -1, generation: -1, words, bytes: Buffer.from(words.buffer), unsettled: undefined };
}
