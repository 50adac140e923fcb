/** `--verify`: compares every watched address with QEMU's own translation at each stop (rule P3). */
import { hex } from '../../core/address/va.ts';
import type { PageTableMonitor } from '../../core/monitor/page-table-monitor.ts';
import { type Paging, rootOf } from '../../core/paging/format.ts';
import { walk } from '../../core/paging/walk.ts';
import { retry } from '../../driver/retry.ts';
import type { QemuDriver } from '../../drivers/qemu/index.ts';
import type { WatchedPage } from './watched-addresses.ts';

/** Under page-table isolation a process has two top-level tables, the kernel's and, in the page behind it, the user's. */
const PAIR_BIT = 0x1000;

export class Verifier {
  readonly #driver: QemuDriver;
  readonly #addresses: readonly WatchedPage[];
  readonly #report: (line: string) => unknown;
  #compared = 0;
  #different = 0;
  #notLoaded = 0;

  constructor(driver: QemuDriver, addresses: readonly WatchedPage[], report: (line: string) => unknown) {
    this.#driver = driver;
    this.#addresses = addresses;
    this.#report = report;
  }

  get compared(): number {
    return this.#compared;
  }

  /** Whether there were comparisons, and QEMU agreed in all of them. */
  get agreed(): boolean {
    return this.#different === 0 && this.#compared > 0;
  }

  /** One line. An address can be compared only while a vCPU has its address space loaded. */
  get verdict(): string {
    const notLoaded = `${this.#notLoaded} comparisons left out, because no vCPU had the address space loaded`;
    if (this.#compared === 0)
      return `verify: nothing was compared with QEMU's own translation, so nothing is verified; ${notLoaded}`;
    return `verify: ${this.#compared} comparisons with QEMU's own translation, ${this.#different} differences; ${notLoaded}`;
  }

  /** Call while the guest is stopped, with everything processed. */
  async verify(monitor: PageTableMonitor): Promise<void> {
    await this.#driver.refreshRegisters();
    const { vcpuCount } = this.#driver.registers;
    const vcpuOf = new Map<number, number>();
    for (let vcpu = 0; vcpu < vcpuCount; vcpu++) {
      vcpuOf.set(rootOf(monitor.paging, this.#driver.registers.readRegisters(vcpu).cr3), vcpu);
    }
    for (const { root, va } of this.#addresses) {
      const vcpu = vcpuOf.get(root) ?? (await this.#vcpuOfPair(monitor.paging, vcpuOf, { root, va }));
      const watched = monitor.state({ root, va });
      if (vcpu === undefined || watched === undefined) {
        this.#notLoaded++;
        continue;
      }
      const theirs = await this.#driver.translateByQemu(va, vcpu);
      this.#compared++;
      if (theirs === watched.pa) continue;
      this.#different++;
      await this.#report(
        `verify: ${hex(va)} translates to ${place(watched.pa)} in ptmon, and to ${place(theirs)} in QEMU (vCPU ${vcpu})`,
      );
    }
  }

  /**
   * The vCPU that has the other root of a pair loaded, as a guest with page-table isolation has at each write of its kernel: it translates
   * an address alike if both roots lead to the same table.
   */
  async #vcpuOfPair(
    paging: Paging,
    vcpuOf: ReadonlyMap<number, number>,
    { root, va }: WatchedPage,
  ): Promise<number | undefined> {
    const other = root % (2 * PAIR_BIT) < PAIR_BIT ? root + PAIR_BIT : root - PAIR_BIT;
    const vcpu = vcpuOf.get(other);
    if (vcpu === undefined) return undefined;
    const { memory, remote } = this.#driver;
    const tables = await Promise.all(
      [root, other].map((at) => retry(() => walk(paging, memory, at, va).steps[1]?.entryPa, { remote })),
    );
    return tables[0] === tables[1] && tables[0] !== undefined ? vcpu : undefined;
  }
}

function place(pa: number | null): string {
  return pa === null ? 'nothing' : hex(pa);
}
