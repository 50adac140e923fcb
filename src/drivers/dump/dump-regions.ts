/** Where a dump has physical memory, as whole pages, each of them once. */
import { PA_LIMIT, PAGE_BYTES } from '../../core/address/pa.ts';
import type { MemoryRegion } from '../../driver/snapshot.ts';
import { type RamRegion, sizeText } from '../ramfile/index.ts';
import { corrupt } from './dump-bytes.ts';

/** A machine has some dozens; a file that says more than so many lies, and would cost memory without bound. */
const MAX_REGIONS = 2 ** 16;

/** What was collected is put together each time that it has grown to this. */
const COMPACT_AT = 2 ** 17;

export class DumpRegions {
  readonly #name: string;
  readonly #unnameable: Tally = { count: 0, byteLength: 0 };
  readonly #missing: MemoryRegion[] = [];
  #regions: RamRegion[] = [];

  /** @param name of the file, for messages */
  constructor(name: string) {
    this.#name = name;
  }

  /** What could not be added, a sentence each. */
  get warnings(): string[] {
    const unnameable = this.#unnameable;
    const missingBytes = this.#missing.reduce((sum, { byteLength }) => sum + byteLength, 0);
    return [
      ...(missingBytes > 0 ? [`the file is truncated: ${sizeText(missingBytes)} of memory missing at its end`] : []),
      ...(unnameable.count > 0
        ? [
            `${unnameable.count} of its pieces of memory (${sizeText(unnameable.byteLength)}) have no physical address ` +
              '(they end beyond 2^52, or their address is all ones, as in /proc/kcore), so they are not read',
          ]
        : []),
    ];
  }

  /** What lies behind the end of the file, a page that is cut in two among it, in the order in which it was added. */
  get missing(): readonly MemoryRegion[] {
    return this.#missing.flatMap(({ pa, byteLength }) => wholePages(pa - (pa % PAGE_BYTES), pa + byteLength));
  }

  /**
   * Adds a piece of memory, the whole pages of it. Of memory that is added twice the piece that begins lowest holds, and of those that
   * begin alike the first. Of a piece with no physical address, and of what lies behind `fileBytes`, only `warnings` tell.
   *
   * @param offset of what says so, for messages
   * @throws PtmonError `corrupt-input` for more pieces than any machine has
   */
  add({ pa, byteLength: wanted, position }: RamRegion, offset: number, fileBytes = Infinity): void {
    const isPhysical = pa >= 0 && wanted >= 0 && pa + wanted <= PA_LIMIT;
    const byteLength = Math.max(0, Math.min(wanted, fileBytes - position));
    if (!isPhysical) {
      this.#unnameable.count++;
      this.#unnameable.byteLength += wanted;
      return;
    }
    if (byteLength < wanted) this.#miss(pa + byteLength, wanted - byteLength);
    const [pages] = wholePages(pa, pa + byteLength);
    if (pages === undefined) return;
    const last = this.#regions.at(-1);
    const region = { ...pages, position: position + (pages.pa - pa) };
    if (last !== undefined && continues(last, region)) this.#regions[this.#regions.length - 1] = joined(last, region);
    else this.#regions.push(region);
    if (this.#regions.length >= COMPACT_AT) this.#compact(offset);
  }

  /** In ascending order. @throws PtmonError `corrupt-input` where there is none, saying why, or too many */
  list(): readonly RamRegion[] {
    this.#compact(0);
    if (this.#regions.length === 0) {
      throw corrupt(this.#name, 0, ['it has no page of memory', ...this.warnings].join('; '));
    }
    return this.#regions;
  }

  /** What of them lies in none of `others`, which ascend. @throws PtmonError `corrupt-input` where they are too many */
  listWithout(others: readonly RamRegion[]): readonly RamRegion[] {
    this.#compact(0);
    const rest: RamRegion[] = [];
    let next = 0;
    for (const { pa, byteLength, position } of this.#regions) {
      let at = pa;
      const end = pa + byteLength;
      const add = (to: number) => {
        if (to > at) rest.push({ pa: at, byteLength: to - at, position: position + (at - pa) });
      };
      while (next < others.length && others[next]!.pa + others[next]!.byteLength <= at) next++;
      for (let other = next; other < others.length && others[other]!.pa < end; other++) {
        const { pa: from, byteLength: covered } = others[other]!;
        add(Math.min(from, end));
        at = Math.max(at, from + covered);
      }
      add(end);
    }
    return rest;
  }

  #miss(pa: number, byteLength: number): void {
    const last = this.#missing.at(-1);
    if (last !== undefined && last.pa + last.byteLength === pa) {
      this.#missing[this.#missing.length - 1] = { pa: last.pa, byteLength: last.byteLength + byteLength };
    } else if (this.#missing.length < MAX_REGIONS) {
      this.#missing.push({ pa, byteLength });
    }
  }

  #compact(offset: number): void {
    const merged: RamRegion[] = [];
    for (const region of [...this.#regions].sort((a, b) => a.pa - b.pa)) {
      const last = merged.at(-1);
      const covered = last === undefined ? 0 : Math.max(0, last.pa + last.byteLength - region.pa);
      if (covered >= region.byteLength) continue;
      const rest = {
        pa: region.pa + covered,
        byteLength: region.byteLength - covered,
        position: region.position + covered,
      };
      if (last !== undefined && continues(last, rest)) merged[merged.length - 1] = joined(last, rest);
      else merged.push(rest);
    }
    if (merged.length > MAX_REGIONS) {
      throw corrupt(this.#name, offset, `its memory is in more than ${MAX_REGIONS} pieces: no machine is like that`);
    }
    this.#regions = merged;
  }
}

interface Tally {
  count: number;
  byteLength: number;
}

/** The pages that lie in a range; none where it has no whole one. */
function wholePages(pa: number, endPa: number): MemoryRegion[] {
  const first = Math.ceil(pa / PAGE_BYTES) * PAGE_BYTES;
  const end = Math.floor(endPa / PAGE_BYTES) * PAGE_BYTES;
  return end > first ? [{ pa: first, byteLength: end - first }] : [];
}

function continues(region: RamRegion, next: RamRegion): boolean {
  return next.pa === region.pa + region.byteLength && next.position === region.position + region.byteLength;
}

function joined(region: RamRegion, next: RamRegion): RamRegion {
  return { ...region, byteLength: region.byteLength + next.byteLength };
}
