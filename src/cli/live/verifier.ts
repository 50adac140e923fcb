/** `--verify`: compares every watched address with QEMU's own translation at each stop (rule P3). */
import { hex } from '../../core/address/va.ts';
import type { PageTableMonitor } from '../../core/monitor/page-table-monitor.ts';
import { rootOf } from '../../core/paging/format.ts';
import type { QemuDriver } from '../../drivers/qemu/index.ts';
import type { WatchedPage } from './watched-addresses.ts';

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

  get different(): number {
    return this.#different;
  }

  get compared(): number {
    return this.#compared;
  }

  /** One line. An address can be compared only while a vCPU has its address space loaded. */
  get verdict(): string {
    return (
      `verify: ${this.#compared} comparisons with QEMU's own translation, ${this.#different} differences; ` +
      `${this.#notLoaded} times no vCPU had the address space loaded`
    );
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
      const vcpu = vcpuOf.get(root);
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
}

function place(pa: number | null): string {
  return pa === null ? 'nothing' : hex(pa);
}
