/**
 * What every program must find in its memory, known only from what it has stored and from the system calls that change
 * memory's meaning. Copy-on-write, swapping, moving, large pages and migration must not be visible here: that is their point.
 */
import type { GuestAction } from '../../../src/testing/index.ts';
import { ProcessReader } from './process-reader.ts';
import type { Stressed } from './process-reader.ts';

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

  /** Every byte that a program would not find as it left it, in words; a few of them are enough. */
  differences(): string[] {
    const wrong: string[] = [];
    for (const process of this.#driver.guest.processes) {
      const reader = new ProcessReader(this.#driver, process);
      const check = (va: number, byte: number) => {
        const found = reader.byteAt(va);
        this.counts.compared++;
        if (found !== byte)
          wrong.push(`${process.name} ${process.pid} finds ${found} at 0x${va.toString(16)}, not ${byte}`);
      };
      const stored = this.#of(process.pid);
      for (const [va, byte] of stored) check(va, byte);
      for (const { name, va } of process.areas) {
        for (const [offset, byte] of this.#shared.get(name) ?? []) check(Number(va) + offset, byte);
      }
      // What is in private memory that no file fills, and is neither zero nor the program's, is somebody else's.
      for (const [va, byte] of reader.anonymousBytes()) if (stored.get(va) !== byte) check(va, stored.get(va) ?? 0);
      this.counts.swapped += reader.swapped;
    }
    return wrong.slice(0, 5);
  }
}
