/**
 * What every program must find in its memory, known only from what it has stored and from the system calls that change
 * memory's meaning. Copy-on-write, swapping, moving, large pages and migration must not be visible here: that is their point.
 */
import { walk } from '../../../../src/core/paging/walk.ts';
import type { Found } from '../../../../src/drivers/sim/guest/kernel-memory.ts';
import type { GuestAction, SimProcess } from '../../../../src/drivers/sim/index.ts';
import type { Stressed } from './stress.ts';

type Bytes = Map<number, number>;

const PAGE = 4096;

export class MemoryModel {
  readonly #driver: Stressed;
  /** By pid: virtual address to byte. Addresses of programs are below 2^53 in every mode. */
  readonly #private = new Map<number, Bytes>();
  /** By name of the shared area: offset to byte. */
  readonly #shared = new Map<string, Bytes>();
  /** Actions seen, by name. */
  readonly actions = new Map<string, number>();
  /** Bytes stored, compared, and found in swap. */
  readonly counts = { stored: 0, compared: 0, swapped: 0 };

  constructor(driver: Stressed) {
    this.#driver = driver;
    driver.guest.observe({
      action: (action) => this.#hear(action),
      store: (pid, va, bytes) => this.#store(pid, Number(va), bytes),
    });
  }

  #of(pid: number): Bytes {
    let bytes = this.#private.get(pid);
    if (bytes === undefined) this.#private.set(pid, (bytes = new Map()));
    return bytes;
  }

  #store(pid: number, va: number, bytes: Uint8Array): void {
    const process = this.#driver.guest.processes.find((one) => one.pid === pid)!;
    const area = process.areas.find((one) => va >= Number(one.va) && va < Number(one.va) + one.byteLength)!;
    const shared = area.name.startsWith('/dev/');
    if (shared && !this.#shared.has(area.name)) this.#shared.set(area.name, new Map());
    const [target, base] = shared ? [this.#shared.get(area.name)!, Number(area.va)] : [this.#of(pid), 0];
    for (const [n, byte] of bytes.entries()) target.set(va - base + n, byte);
    this.counts.stored += bytes.length;
  }

  #hear({ action, pid, child, va, newVa, pages = 0 }: GuestAction): void {
    this.actions.set(action, (this.actions.get(action) ?? 0) + 1);
    const from = Number(va);
    const end = from + pages * PAGE;
    switch (action) {
      case 'fork':
        this.#private.set(child!, new Map(this.#of(pid)));
        break;
      case 'exit':
      case 'exec':
        this.#private.delete(pid);
        break;
      case 'reset':
        this.#private.clear();
        this.#shared.clear();
        break;
      case 'munmap':
        for (const at of this.#of(pid).keys()) if (at >= from && at < end) this.#of(pid).delete(at);
        break;
      case 'madvise':
        for (const at of this.#of(pid).keys()) if (at >= from && at < end) this.#of(pid).set(at, 0);
        break;
      case 'mremap': {
        const moved = [...this.#of(pid)].filter(([at]) => at >= from && at < end);
        for (const [at] of moved) this.#of(pid).delete(at);
        for (const [at, byte] of moved) this.#of(pid).set(at - from + Number(newVa), byte);
        break;
      }
      default:
        break;
    }
  }

  /** Every byte that a program would not find as it left it, in words. */
  differences(): string[] {
    const wrong: string[] = [];
    for (const process of this.#driver.guest.processes) {
      const check = (va: number, byte: number) => {
        const found = this.#read(process, va);
        this.counts.compared++;
        if (found !== byte && wrong.length < 5)
          wrong.push(`${process.name} ${process.pid} finds ${found} at 0x${va.toString(16)}, not ${byte}`);
      };
      for (const [va, byte] of this.#of(process.pid)) check(va, byte);
      for (const { name, va } of process.areas) {
        for (const [offset, byte] of this.#shared.get(name) ?? []) check(Number(va) + offset, byte);
      }
      wrong.push(...this.#leftovers(process).slice(0, 5));
    }
    return wrong;
  }

  /** Bytes in private memory that no file fills, that are neither zero nor the program's: somebody else's. */
  #leftovers({ pid, roots, areas }: SimProcess): string[] {
    const { codec, memory, paging } = this.#driver.guest.kernel;
    const stored = this.#of(pid);
    const wrong: string[] = [];
    const found: Found = { vpn: 0, level: 0, pa: 0, lo: 0, hi: 0 };
    for (const { name, va, byteLength } of areas) {
      if (!name.startsWith('[')) continue;
      const end = Number(va) / PAGE + byteLength / PAGE;
      let vpn = Number(va) / PAGE;
      while (memory.seek(roots[0]!, vpn, end, found)) {
        const pages = paging.byLevel[found.level]!.slotPages;
        if (!codec.isSwap(found.lo, found.hi)) {
          const gfn = codec.gfnOf(found.lo, found.hi);
          for (let n = 0; n < pages; n++) {
            const words = this.#driver.machine.page(gfn + n)!;
            const at = (found.vpn + n) * PAGE;
            for (const [word, value] of words.entries()) {
              for (let byte = 0; value !== 0 && byte < 4; byte++) {
                const is = (value >>> (8 * byte)) & 0xff;
                const address = at + word * 4 + byte;
                if (is !== 0 && stored.get(address) !== is)
                  wrong.push(`process ${pid} finds ${is} at 0x${address.toString(16)}`);
              }
            }
          }
        }
        vpn = found.vpn + pages;
      }
    }
    return wrong;
  }

  /** The byte that the process would read, paged in if need be. */
  #read({ roots }: SimProcess, va: number): number | string {
    const { kernel } = this.#driver.guest;
    const { codec, frames, memory, paging, swap } = kernel;
    const found = walk(paging, memory.machine.memory, roots[0]!, BigInt(va));
    if (found.translates) return this.#byteAt(found.pa);
    const { entryPa, value } = found.steps.at(-1)!;
    memory.load(entryPa);
    if (found.reason !== 'not-present') return found.reason;
    // Never touched since it was thrown away, or a shared page that this process has not seen yet.
    if (value === 0n) return this.#unseen(roots, va);
    if (codec.isSwap(memory.lo, memory.hi)) {
      this.counts.swapped++;
      return swap.content(codec.swapOffset(memory.lo))[va % PAGE]!;
    }
    const gfn = codec.gfnOf(memory.lo, memory.hi);
    return frames.references(gfn) === 0 ? 'a freed frame' : this.#byteAt(gfn * PAGE + (va % PAGE));
  }

  #unseen(roots: readonly number[], va: number): number | string {
    const { kernel } = this.#driver.guest;
    const process = kernel.processes.find(({ space }) => space.root === roots[0])!;
    const area = process.space.areas.find(Math.floor(va / PAGE));
    if (area === undefined) return 'no area';
    if (area.file === undefined) return 0;
    const gfn = area.file.cached(area.filePage + Math.floor(va / PAGE) - area.start);
    return gfn === undefined ? 'nothing in the file' : this.#byteAt(gfn * PAGE + (va % PAGE));
  }

  #byteAt(pa: number): number {
    const page = this.#driver.machine.page(Math.floor(pa / PAGE))!;
    return new Uint8Array(page.buffer, page.byteOffset)[pa % PAGE]!;
  }
}
