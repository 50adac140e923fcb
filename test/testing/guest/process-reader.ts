/** What a process would read at its addresses, paged in if need be; looked up through the walker, a page at a time. */
import { walk } from '../../../src/core/paging/walk.ts';
import type { Found } from '../../../src/testing/guest/tables/kernel-memory.ts';
import type { SimDriver, SimProcess } from '../../../src/testing/index.ts';

const PAGE = 4096;
const ZEROES = new Uint8Array(PAGE);

/** The bytes of a page, or in words why there are none. */
type Content = Uint8Array | string;

/** What a check needs of a driver. */
export type Stressed = Pick<SimDriver, 'guest' | 'machine'>;

export class ProcessReader {
  readonly #driver: Stressed;
  readonly #process: SimProcess;
  readonly #pages = new Map<number, Content>();
  /** Pages found in swap. */
  swapped = 0;

  constructor(driver: Stressed, process: SimProcess) {
    this.#driver = driver;
    this.#process = process;
  }

  byteAt(va: number): number | string {
    const vpn = Math.floor(va / PAGE);
    let page = this.#pages.get(vpn);
    if (page === undefined) {
      page = this.#look(vpn);
      this.#pages.set(vpn, page);
    }
    return typeof page === 'string' ? page : page[va % PAGE]!;
  }

  /** Every byte that is not zero in mapped private memory that no file fills, with its address. */
  *anonymousBytes(): Generator<[va: number, byte: number]> {
    const { memory, paging } = this.#driver.guest.kernel;
    const found: Found = { vpn: 0, level: 0, pa: 0, lo: 0, hi: 0 };
    for (const { name, va, byteLength } of this.#process.areas) {
      if (!name.startsWith('[')) continue;
      const end = (Number(va) + byteLength) / PAGE;
      for (let vpn = Number(va) / PAGE; memory.seek(this.#process.roots[0]!, vpn, end, found); ) {
        const behind = found.vpn + paging.byLevel[found.level]!.slotPages;
        for (let at = Math.max(found.vpn, vpn); at < Math.min(behind, end); at++) yield* this.#used(at);
        vpn = behind;
      }
    }
  }

  *#used(vpn: number): Generator<[va: number, byte: number]> {
    this.byteAt(vpn * PAGE);
    const page = this.#pages.get(vpn)!;
    if (typeof page === 'string') return;
    const words = new Uint32Array(page.buffer, page.byteOffset, PAGE / 4);
    for (let word = 0; word < words.length; word++) {
      if (words[word] === 0) continue;
      for (let at = word * 4; at < word * 4 + 4; at++) if (page[at] !== 0) yield [vpn * PAGE + at, page[at]!];
    }
  }

  #look(vpn: number): Content {
    const { codec, frames, memory, paging, swap } = this.#driver.guest.kernel;
    const found = walk(paging, memory.machine.memory, this.#process.roots[0]!, BigInt(vpn) * 4096n);
    if (found.translates) return this.#frame(found.pa / PAGE);
    if (found.reason !== 'not-present') return found.reason;
    const { entryPa, value } = found.steps.at(-1)!;
    if (value === 0n) return this.#unseen(vpn);
    memory.load(entryPa);
    if (codec.isSwap(memory.lo, memory.hi)) {
      this.swapped++;
      return swap.content(codec.swapOffset(memory.lo));
    }
    const gfn = codec.gfnOf(memory.lo, memory.hi);
    return frames.references(gfn) === 0 ? 'a freed frame' : this.#frame(gfn);
  }

  /** Never touched since it was thrown away, or a page of a file that this process has not seen yet. */
  #unseen(vpn: number): Content {
    const { kernel } = this.#driver.guest;
    const process = kernel.processes.find(({ pid }) => pid === this.#process.pid)!;
    const area = process.space.areas.find(vpn);
    if (area === undefined) return 'no area';
    if (area.file === undefined) return ZEROES;
    const gfn = area.file.cached(area.filePage + vpn - area.start);
    return gfn === undefined ? 'nothing in the file' : this.#frame(gfn);
  }

  #frame(gfn: number): Content {
    const page = this.#driver.machine.page(gfn)!;
    return new Uint8Array(page.buffer, page.byteOffset, PAGE);
  }
}
